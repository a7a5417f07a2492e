"""Burying users: tombstones, so that their events never come in again, and buckets written anew without them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from features.log.frames import rows_of_users
from features.log.intake import bucket_of
from features.log.manifest import Manifest, TakenFile, tombstones, tombstones_path, write_durably
from features.log.parts import PartFiles
from features.log.source import EventLog, hashed, hashed_names


def write_tombstones(folder: Path, users: Sequence[str]) -> None:
    """Keep the hashes of erased users beside the event stores of a log; every engine leaves their events out."""
    erased = {*tombstones(folder), *hashed_names(users).tolist()}
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(tombstones_path(folder), json.dumps(sorted(erased)).encode())


def out_of_compacted(state: Manifest | None, log: EventLog, users: list[str]) -> Manifest | None:
    """Take users out of the files the live log was compacted into, which are ours, unlike the log's own.

    Returns:
        The state that knows those files as they are now; the same one when nothing of it changed.
    """
    column = log.definition.events.columns.user
    changed = {log.name_of(f): f for f in log.live.event_files if rows_of_users(f, column, users, remove=True)}
    if state is None or not changed:
        return state
    files = [
        TakenFile.of(changed[file.path], file.path, file.counts) if file.path in changed else file
        for file in state.files
    ]
    return state.model_copy(update={"files": files})


def bury(state: Manifest, files: PartFiles, erased: list[int]) -> tuple[Manifest, dict[str, int]]:
    """Write the buckets of newly erased users anew, without their events.

    Args:
        state: the store's state.
        files: its parts.
        erased: hashes of all erased users.

    Returns:
        The state without their events, to be switched to, or the same one when there was nobody new; and the number
        of events removed, by user.
    """
    keys = np.array(sorted(set(erased) - set(state.erased)), dtype=np.int64)
    if not keys.size:
        return state, {}
    removed: dict[str, int] = {}
    position, parts, again = state.position + 1, list(state.parts), dict(state.merged)
    for bucket in sorted(set(bucket_of(keys, state.buckets).tolist())):
        rows = files.read(state.of_bucket(bucket), ids=True).sorted()[0]
        gone = np.isin(hashed(pa.chunked_array([rows.users])), keys)[rows.codes]
        if gone.any():
            sizes = np.bincount(rows.codes[gone], minlength=len(rows.users))
            removed |= {rows.users[code].as_py(): int(sizes[code]) for code in np.flatnonzero(sizes).tolist()}
            parts = [part for part in parts if part.bucket != bucket]
            parts += files.write(rows.take(~gone), bucket, f"{state.generation}-{position}", position)
            again[bucket] = position
    change = {
        "position": position,
        "parts": parts,
        "merged": again,
        "erased": erased,
        "buried": state.buried + sum(removed.values()),
    }
    return state.model_copy(update=change), removed
