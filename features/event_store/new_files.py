"""Which files of a log are new to an event store, and whether those taken in are still what they were."""

from pathlib import Path

import pyarrow.parquet as pq

from features.engines import duckdb as engine
from features.errors import EventLogError
from features.event_store.manifest import Manifest
from features.events.compacted import is_compacted
from features.reading.source import EventLog


def untaken(state: Manifest, log: EventLog) -> list[Path]:
    """The files of a log that are not taken in yet."""
    taken = {file.path for file in state.files}
    return [file for file in log.files if log.name_of(file) not in taken]


def has_changed_files(state: Manifest, log: EventLog, folder: Path) -> bool:
    """Whether a file has changed since it was taken in, or was removed by a source that has its rows no more.

    Raises:
        EventLogError: one has, and others that were taken in are gone, so that nothing can be rebuilt of them.
    """
    taken = {file.path: file for file in state.files}
    if log.is_fetched:
        there = {log.name_of(file) for file in log.files}
        if any(path not in there and not is_compacted(path) for path in taken):
            return True
    for file in log.files:
        known = taken.get(log.name_of(file))
        if known is None or known.is_still(file, log.content_of(file)):
            continue
        there = {log.name_of(f) for f in log.files}
        gone = [path for path in taken if path not in there]
        if gone and not log.is_fetched:
            raise EventLogError(
                f"{file} has changed since its rows were taken in, and {len(gone)} files taken in before are "
                f"gone ({gone[0]}).",
                fix=f"put the files back, or remove {folder} to start from the files that are there",
            )
        return True
    return False


def has_unnamed_live_files(state: Manifest, log: EventLog) -> bool:
    """Whether compacted files were taken in that the log's `Compacted` does not name."""
    named = {log.name_of(file) for file in log.live.event_files}
    return any(is_compacted(file.path) and file.path not in named for file in state.files)


def with_moved_live_files(state: Manifest, log: EventLog) -> Manifest:
    """A state with its compacted files where they are now, so that a home can be moved."""
    here = {file.name: log.name_of(file) for file in log.live.event_files}
    if not any(is_compacted(file.path) and file.path not in here.values() for file in state.files):
        return state
    files = [
        file.model_copy(update={"path": here.get(Path(file.path).name, file.path)}) if is_compacted(file.path) else file
        for file in state.files
    ]
    return state.model_copy(update={"files": files})


def guess_rows(files: list[Path]) -> int:
    """About how many rows files have: Parquet says, others are taken to have a row every hundred bytes.

    Raises:
        EventLogError: a Parquet file is damaged.
    """
    with engine.reading(files):
        return sum(
            pq.read_metadata(f).num_rows if f.suffix in (".parquet", ".pq") else f.stat().st_size // 100 for f in files
        )
