"""Taking files of a log into its event store on Spark: executors write the parts, and the driver names them."""

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from features.event_store.ingest import NO_IDS, Change, changed, is_in_pieces, with_changes
from features.event_store.manifest import Manifest, Part, TakenFile
from features.event_store.merged.pairs import keep_merges
from features.event_store.part_files import PartFiles
from features.event_store.repeated.judged import Judged, what_is_known
from features.events.events import Rows
from features.events.tombstones import Tombstones
from features.identities.merges import without_users
from features.spark.exchange import Exchange
from features.spark.executors import on_executors
from features.spark.intake.part_writing import write_parts
from features.spark.intake.placed import placed_rows
from features.spark.intake.repeats import Repeats
from features.spark.partitions import attempt

#: events that one task sorts and writes
TASK_EVENTS = 1_000_000


def take_in(
    rows: DataFrame, both: pl.DataFrame, taken: Mapping[str, TakenFile], state: Manifest, files: PartFiles,
    exchange: Exchange | None,
) -> Manifest:  # fmt: skip
    """Take rows of files into a state of the store and return the next state; parts are written, the manifest is not.

    Args:
        rows: as `features.spark.intake.rows.event_rows` makes them.
        both: the pairs of ids that are in one row of them.
        taken: the files, counted, by their addresses.
        state: the state to start from.
        files: the store's parts.
        exchange: brings rows here whose ids came more than once; None where rows have no ids.
    """
    position, every = state.position + 1, [*state.files, *taken.values()]
    written, erased = f"{state.generation}-{position}", Tombstones(state.erased)
    numbers = {address: number for number, address in enumerate(taken, len(state.files))}
    placed = placed_rows(rows, files.n_values, state.buckets, numbers, erased)
    tasks = max(rows.sparkSession.sparkContext.defaultParallelism, -(-_events_of(taken.values()) // TASK_EVENTS))
    judged: Judged | None = None
    if exchange is None:
        parts = write_parts(placed, files, tasks, written, position)
    else:
        placed = placed.persist(StorageLevel.DISK_ONLY)
        try:
            repeats, names = Repeats(placed, state, files), [file.path for file in every]
            judged = repeats.judged(exchange, files.folder / "scratch", names, by_arrival=state.by_arrival)
            parts = write_parts(repeats.others(), files, tasks, written, position)
        finally:
            placed.unpersist()
    old = with_changes(state, _changes(rows.sparkSession, judged, state, files, written, position))
    merged = with_changes(old, [Change(part.bucket, [part], [], 0) for part in parts])
    change = {"position": position, "files": every,
              "merges": keep_merges([without_users(both, erased)], state, files, written)}  # fmt: skip
    if judged is not None:
        change |= what_is_known(judged, state, files, position)
    return merged.model_copy(update=change)


def _changes(
    session: SparkSession, judged: Judged | None, state: Manifest, files: PartFiles, written: str, position: int
) -> list[Change]:
    """What executors write of buckets in which rows count that were judged, or no longer do, or that are in pieces."""
    parts = state.by_bucket
    touched = {bucket for bucket, old in parts.items() if is_in_pieces(old)}
    touched |= judged.buckets if judged is not None else set()
    none: list[pa.Table] = []
    items = [
        (bucket, parts.get(bucket, []), *((judged.added(bucket), judged.removed(bucket)) if judged else (none, NO_IDS)))
        for bucket in sorted(touched)
    ]

    def change(item: tuple[int, list[Part], list[pa.Table], NDArray[np.int64]]) -> Change:
        bucket, old, tables, gone = item
        rows = Rows.none(files.n_values)
        if tables:
            rows = Rows.of(pa.concat_tables(tables, promote_options="permissive"), files.n_values).sorted()
        return changed(files, bucket, old, rows, gone, f"{written}-{attempt()}", position)

    return on_executors(session, change, items)


def _events_of(files: Iterable[TakenFile]) -> int:
    """How many events files have, at most."""
    return sum(2 * file.counts["rows"] - sum(file.counts.values()) for file in files)
