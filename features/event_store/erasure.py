"""Erasing users from what is kept of an event log: tombstones first, then every store and compacted file without them.

A store's folder says all that is needed: stores that other definitions made are searched alike.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from features.definition.schema import Definition
from features.errors import EventLogError, UnavailableError
from features.event_store.distributed import RUN, TAKING
from features.event_store.manifest import Manifest, digest_of, size_of
from features.event_store.merged.gather import GATHERED
from features.event_store.merged.pairs import forget
from features.event_store.part_files import PartFiles, place_of, together
from features.event_store.repeated.judged import keep_claims, without_claims
from features.events.compacted import Compacted
from features.events.events import Rows
from features.events.hashing import bucket_of, hashed_names
from features.events.sort import members, set_of
from features.events.tombstones import Tombstones
from features.events.write import rows_of_users
from features.reading.places import name_in
from features.sources.parts import fetched_files
from features.system.files.lock import held, locked
from features.system.files.places import Place


@dataclass(frozen=True, slots=True)
class ErasedEvents:
    """How many events were removed.

    Attributes:
        stores: of each store, by the name of its folder, how many of each user.
        compacted: out of the compacted files.
        fetched: out of the files that were fetched from sources.
    """

    stores: dict[str, dict[str, int]]
    compacted: int
    fetched: int


def erase_events(definition: Definition, home: Path, live: Compacted, users: Sequence[str]) -> ErasedEvents:
    """Take users out of all stores of a log, and out of the files that were compacted or fetched; all these are ours.

    Args:
        definition: names the log.
        home: holds the stores.
        live: names the compacted files.
        users: whom.
    """
    column = definition.events.columns.user
    with locked(home, wait=True):
        erased = Tombstones.load(home) | Tombstones.of(users)
        erased.save(home)
        fetched = fetched_files(definition)
        counts = {file: rows_of_users(file, column, users, remove=True) for file in (*live.event_files, *fetched)}
        changed = {name_in(definition, file): file for file, rows in counts.items() if rows}
        removed = {folder.name: _from_store(folder, erased, changed) for folder in store_folders(home)}
    return ErasedEvents(removed, sum(counts[file] for file in live.event_files), sum(counts[file] for file in fetched))


def store_folders(home: Path) -> list[Path]:
    """The event stores of a log, whichever definition made them."""
    return sorted(file.parent for file in home.glob("*/manifest.json"))


def places_of(home: Path) -> set[str]:
    """The addresses in object stores that the stores of a log name."""
    states = (Manifest.load(folder) for folder in store_folders(home))
    return {state.place for state in states if state is not None and state.place}


def rows_elsewhere(home: Path, users: Sequence[str]) -> int:
    """How many rows of users the stores have whose parts are in other places than beside their manifests."""
    rows = 0
    for folder in store_folders(home):
        state = Manifest.load(folder)
        if state is not None and state.place:
            buckets = set(bucket_of(hashed_names(users), state.buckets).tolist())
            parts = [part for part in state.parts if part.bucket in buckets]
            rows += len(PartFiles.of_folder(folder, state).read(parts, ids=False, users=users).t)
    return rows


def _from_store(folder: Path, erased: Tombstones, changed: dict[str, Path]) -> dict[str, int]:
    """Take users out of one store; one that this version cannot read is removed whole: it is rebuilt when opened."""
    try:
        state = Manifest.load(folder)
    except EventLogError:
        shutil.rmtree(folder)
        return {}
    if state is None:
        return {}
    try:
        before, state = state, described_again(state, changed)
        state, removed = without_erased(state, PartFiles.of_folder(folder, state), erased)
    except (EventLogError, pa.ArrowException):
        if state.place:
            place_of(folder, state).remove()
        shutil.rmtree(folder)
        return {}
    if state is not before:
        state.save(folder)
    _remove_unnamed(folder, state)  # though somebody may read them: their read fails, and they read again
    return removed


def described_again(state: Manifest, changed: dict[str, Path]) -> Manifest:
    """The state that knows some of the taken files as they are now; the same one when it took none of them."""
    if not any(file.path in changed for file in state.files):
        return state
    files = [
        file.model_copy(
            update={"size": size_of(changed[file.path]), "content": digest_of(changed[file.path]), "status": 0}
        )
        if file.path in changed
        else file
        for file in state.files
    ]
    return state.model_copy(update={"files": files})


def without_erased(state: Manifest, files: PartFiles, erased: Tombstones) -> tuple[Manifest, dict[str, int]]:
    """Rewrite the buckets of newly erased users without their events.

    Args:
        state: the store's state.
        files: its parts.
        erased: all erased users.

    Returns:
        The state without their events, to be switched to, or the same one when there was nobody new; and the number
        of events removed, by user.
    """
    new = erased - Tombstones(state.erased)
    if not new:
        return state, {}
    removed: dict[str, int] = {}
    left = without_claims(state, files, new)
    position, parts, again = state.position + 1, list(state.parts), dict(state.merged)
    for bucket in sorted({*bucket_of(new.keys, state.buckets).tolist(), *left.buckets}):
        rows = files.read(state.of_bucket(bucket), ids=True)
        gone = new.flags(rows.users)[rows.codes]
        other = gone | members(set_of(left.removed(bucket)), rows.ids)
        added = [Rows.of(table, files.n_values) for table in left.added(bucket)]
        if other.any() or added:
            sizes = np.bincount(rows.codes[gone], minlength=len(rows.users))
            removed |= {rows.users[code].as_py(): int(sizes[code]) for code in np.flatnonzero(sizes).tolist()}
            parts = [part for part in parts if part.bucket != bucket]
            rows = together(rows.take(~other), *added).sorted()
            parts += files.write(rows, bucket, f"{state.generation}-{position}", position)
            again[bucket] = position
    change = {
        "repeats": keep_claims(left, state, files, position),
        "differing": state.differing + left.differing,
        "shared": state.shared + left.shared,
        "position": position,
        "parts": parts,
        "merged": again,
        "erased": sorted(erased.marks, key=str),
        "ids": [],  # the next run makes them again, of the ids that are left
        "merges": forget(state, files, new, f"{state.generation}-{position}"),
        "erased_rows": state.erased_rows + sum(removed.values()),
    }
    return state.model_copy(update=change).marked(), removed


def clean(folder: Path, state: Manifest, *, taking: bool = False) -> None:
    """Remove the files of a store that its state does not name, unless somebody still reads an older state.

    Args:
        folder: the store's.
        state: its state.
        taking: we hold the lock of who takes files in on other machines.
    """
    with held(folder, alone=True) as free:
        if free:
            _remove_unnamed(folder, state, taking=taking)


def _remove_unnamed(folder: Path, state: Manifest, *, taking: bool = False) -> None:
    named = {part.name for part in state.parts}
    named |= {*state.repeats, *state.merges, *(run.name for run in state.ids)}
    for pattern in ("bucket-*.parquet", "repeats-*.parquet", "merges-*.parquet", "*.ids"):
        for file in folder.glob(pattern):
            if file.name not in named:
                file.unlink()
    for left in folder.glob(f"{GATHERED}*"):  # of a process that was killed
        shutil.rmtree(left)
    if state.place or any(folder.glob(f"{RUN}*")):
        _remove_of_runs(folder, place_of(folder, state), named, taking=taking)


def _remove_of_runs(folder: Path, place: Place, named: set[str], *, taking: bool) -> None:
    """Remove the parts that other machines have written and no state names, but for those of a run that goes on."""
    there = [name for name in place.names() if re.fullmatch(rf"({RUN}\w+/)?bucket-[\w-]+\.parquet", name)]
    runs, in_use = ({name.partition("/")[0] for name in names if "/" in name} for names in (there, named))
    if taking or _nobody_takes(folder):
        runs |= {run.name for run in folder.glob(f"{RUN}*")}
        for run in runs - in_use:
            (place / run).remove()
        runs = in_use
    else:
        runs = runs & in_use
    place.remove([name for name in there if name not in named and ("/" not in name or name.partition("/")[0] in runs)])


def _nobody_takes(folder: Path) -> bool:
    """Whether no other process has other machines take files in now."""
    try:
        with locked(folder / TAKING):
            return True
    except UnavailableError:
        return False
