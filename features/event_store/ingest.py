"""Taking files of the log into the event store: spread over the buckets, then sorted and merged bucket by bucket."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc as ipc
from numpy.typing import NDArray

from features.event_store.manifest import Manifest, Part, TakenFile
from features.event_store.merged.pairs import keep_merges
from features.event_store.part_files import PartFiles, together
from features.event_store.repeated.collisions import Collisions
from features.event_store.repeated.judged import Judged, what_is_known
from features.events.events import Rows
from features.events.group_files import GroupFiles
from features.events.hashing import bucket_of
from features.events.repeats import ROW_BITS
from features.events.sort import grouped, members, set_of
from features.events.tombstones import Tombstones
from features.identities.merges import without_users
from features.reading.batch import add
from features.reading.findings import Findings
from features.reading.findings import together as all_findings
from features.reading.source import EventLog
from features.system.parallel import each
from features.system.progress import Progress

NO_IDS: Final = np.zeros(0, dtype=np.int64)

#: a bucket with more parts than this, or whose later parts have a third of its rows, gets its parts merged
MOST_PARTS = 24


@dataclass(frozen=True, slots=True)
class Change:
    """What taking rows in does to a bucket.

    Attributes:
        bucket: which.
        added: new parts.
        removed: parts they take the place of.
        merged: the position through which the parts no longer tell what came in when, or 0.
    """

    bucket: int
    added: list[Part]
    removed: list[Part]
    merged: int


def changed(
    files: PartFiles, bucket: int, old: list[Part], rows: Rows, gone: NDArray[np.int64], written: str, position: int
) -> Change:
    """Put a bucket's new rows beside its old ones; the parts are written, and nothing names them yet.

    Args:
        files: the store's parts.
        bucket: which.
        old: its parts so far.
        rows: new ones, sorted.
        gone: ids of old rows that no longer count.
        written: tells the files from others.
        position: at which the rows come in.
    """
    if gone.size:  # what counted so far counts no more: the bucket is written again
        whole = files.read(old, ids=True)
        rows = together(whole.take(~members(set_of(gone), whole.ids)), rows).sorted()
        return Change(bucket, files.write(rows, bucket, written, position), old, position)
    new = files.write(rows, bucket, written, position)
    if not is_in_pieces(old):
        return Change(bucket, new, [], 0)
    through = old[-1].position
    whole = files.read(old, ids=True).sorted()
    return Change(bucket, [*files.write(whole, bucket, written, through), *new], old, through)


def is_in_pieces(parts: list[Part]) -> bool:
    """Whether a bucket's parts are so many, or those after the first so large, that they are merged."""
    return len(parts) >= MOST_PARTS or 3 * sum(part.rows for part in parts[1:]) > sum(part.rows for part in parts)


def with_changes(state: Manifest, changes: Iterable[Change]) -> Manifest:
    """A state with buckets as they are after changes."""
    parts, again = {part.name: part for part in state.parts}, dict(state.merged)
    for change in changes:
        for part in change.removed:
            del parts[part.name]
        parts |= {part.name: part for part in change.added}
        if change.merged:
            again[change.bucket] = change.merged
    return state.model_copy(update={"parts": list(parts.values()), "merged": again})


class Intake:
    """Takes files into a state of the store and yields the next state; parts are written, the manifest is not.

    Args:
        log: the log.
        files: the store's parts.
        state: the state to start from.
    """

    def __init__(self, log: EventLog, files: PartFiles, state: Manifest) -> None:
        self._log = log
        self._files = files
        self._state = state
        self._position = state.position + 1
        self._written = f"{state.generation}-{self._position}"
        self._both: list[pl.DataFrame] = []

    def take(self, files: list[Path], progress: Progress) -> Manifest:
        """Take files in; memory holds a batch and a few buckets' new rows."""
        state, scratch = self._state, self._files.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        collisions = Collisions(scratch, state, self._files, self._written) if self._log.has_ids else None
        taken = self._spread(files, scratch, progress, collisions)
        every = [*state.files, *taken]
        buckets = [bucket for bucket in range(state.buckets) if (scratch / str(bucket)).exists()]
        judged, runs = None, state.ids
        if collisions is not None:
            names, by_arrival = [file.path for file in every], self._log.has_arrivals
            judged = collisions.judge(buckets, names, by_arrival=by_arrival)
            runs = collisions.runs
        touched = sorted({*buckets, *(judged.buckets if judged is not None else ())})
        changes = each(touched, lambda bucket: self._merge(scratch / str(bucket), bucket, judged))
        merged = with_changes(state, changes)
        shutil.rmtree(scratch)
        change_of = {"position": self._position, "files": every, "ids": runs, "types": self._log.types,
                     "by_arrival": self._log.has_arrivals,
                     "merges": keep_merges(self._both, state, self._files, self._written)}  # fmt: skip
        if judged is not None:
            change_of |= what_is_known(judged, state, self._files, self._position)
        return merged.model_copy(update=change_of)

    def _spread(
        self, files: list[Path], scratch: Path, progress: Progress, collisions: Collisions | None
    ) -> list[TakenFile]:
        """Append the kept rows of files to a scratch file a bucket; rows of erased users are left out and counted."""
        taken: list[TakenFile] = []
        erased, n = Tombstones(self._state.erased), self._state.buckets
        with GroupFiles(scratch) as buckets:
            for number, file in enumerate(files, len(self._state.files)):
                counts, findings, place = {"rows": 0}, [Findings()], number << ROW_BITS
                described = TakenFile.of(
                    file, self._log.name_of(file), now=scratch.stat().st_mtime_ns, content=self._log.content_of(file)
                )
                for batch in self._log.batches(file):
                    table, kept, keys = batch.table, batch.dropped < 0, batch.keys
                    findings.append(batch.findings)
                    found = batch.counts()
                    if erased:
                        gone = kept & erased.flags(table["user"], keys)
                        found |= {"erased user": int(gone.sum())}
                        kept &= ~gone
                    counts = add(counts, found)
                    self._both.append(without_users(batch.both, erased))
                    if collisions is not None:
                        collisions.gather(table["id"].to_numpy()[kept])
                        places = pa.array(np.arange(place, place + table.num_rows))
                        table, place = table.append_column("place", places), place + table.num_rows
                    order, starts = grouped(np.where(kept, bucket_of(keys, n), -1), n)
                    buckets.append(table.take(pa.array(order)).combine_chunks(), starts)
                taken.append(described.model_copy(update={"counts": counts, "findings": all_findings(findings)}))
                progress(described.size)
        self._log.judge([file.findings for file in taken])
        return taken

    def _merge(self, file: Path, bucket: int, judged: Judged | None) -> Change:
        """Sort a bucket's new rows and put them beside the old ones."""
        rows, old = self._new_rows(file, bucket, judged), self._state.of_bucket(bucket)
        gone = judged.removed(bucket) if judged is not None else NO_IDS
        return changed(self._files, bucket, old, rows, gone, self._written, self._position)

    def _new_rows(self, file: Path, bucket: int, judged: Judged | None) -> Rows:
        """A bucket's new rows, without those of an id that do not count, sorted."""
        tables, n = list(judged.added(bucket)) if judged is not None else [], self._log.n_values
        if file.exists():
            with file.open("rb") as source:
                table = ipc.open_stream(source).read_all()
            file.unlink()
            if judged is not None:
                known = members(judged.ids, table["id"].to_numpy())
                table = table.filter(pa.array(~known)) if known.any() else table
            if "place" in table.column_names:
                table = table.append_column("file", pa.array(table["place"].to_numpy() >> ROW_BITS)).drop("place")
            tables.insert(0, table)
        if not tables:  # all that is new is that rows count no more
            return Rows.none(n)
        return Rows.of(pa.concat_tables(tables, promote_options="permissive"), n).sorted()
