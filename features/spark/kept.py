"""The kept events of a log, which Spark's executors work through."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import polars as pl
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from features.event_store.distributed import DistantOrigin
from features.event_store.stored_events import StoredEvents
from features.events.events import Events, Rows
from features.spark.executors import on_executors, rows_of_items
from features.spark.partitions import TOGETHER, Batches, Bucket, Partition, Users, rows_between, whole_keys
from features.spark.table import Table
from features.system.files.lock import held

R = TypeVar("R")


class SparkEvents(StoredEvents):
    """A log's kept events; buckets are read, and persons of several ids brought together, by executors.

    Args:
        log: what is known of the log.
        folder: where the stores of the definition are.
        session: the connection.
    """

    log: DistantOrigin

    def __init__(self, log: DistantOrigin, folder: Path, session: SparkSession) -> None:
        super().__init__(log, folder)
        self._session = session
        self._reading = ExitStack()
        # the parts of the state that is read stay, until these events are forgotten or the process ends
        self._reading.enter_context(held(self.folder))

    @property
    def parts(self) -> list[Bucket]:
        """The buckets with events, and their parts."""
        return list(self.manifest.by_bucket.items())

    def users(self, table: Table | None = None) -> Users:
        """The users as executors read them, with their rows of a table."""
        people = self._session.sparkContext.broadcast(self.people) if self.people else None
        return Users(self._files, self.ends, people, table)

    def persons(self, users: Users, work: Partition, schema: str) -> DataFrame | None:
        """What executors make of persons of several ids, whose rows are brought together; None where there are none."""
        if users.people is None:
            return None
        rows = rows_of_items(self._session, users.merged, self.parts, users.merged_schema)
        return rows.repartition(len(self.parts), TOGETHER).sortWithinPartitions(TOGETHER, "t").mapInArrow(work, schema)

    def map(self, work: Callable[[Events], R]) -> Iterator[R]:
        """Yield ``work(events)`` for each bucket with events, and then for runs of people whose ids were merged."""
        users = self.users()

        def of_bucket(given: Bucket) -> R | None:
            run = users.of_bucket(given)
            return work(run[0]) if run is not None else None

        def of_persons(batches: Batches) -> Batches:
            for events, _ in users.persons(batches):
                yield pa.record_batch({"made": pa.array([pickle.dumps(work(events))], pa.binary())})

        yield from (made for made in on_executors(self._session, of_bucket, self.parts) if made is not None)
        found = self.persons(users, of_persons, "made BINARY")
        for row in found.collect() if found is not None else ():
            yield pickle.loads(row["made"])  # noqa: S301 - our own executors made it

    def of_persons(self, who: pl.DataFrame, work: Callable[[Rows], R]) -> Iterator[R]:
        """What executors make of the rows of ids that were merged; see `DistributedLog.of_persons`."""
        called = who.select("id", pl.col("user").rank("dense").cast(pl.Int64).alias(TOGETHER))
        called = self._session.sparkContext.broadcast(called)
        users, n_values = self.users(), self._files.n_values

        def made(batches: Batches) -> Batches:
            for table in whole_keys(batches, TOGETHER):
                found = work(rows_between(table.drop_columns([TOGETHER]), n_values))
                yield pa.record_batch({"made": pa.array([pickle.dumps(found)], pa.binary())})

        def rows(given: Bucket) -> pa.Table:
            return users.called(given, called.value)

        found = rows_of_items(self._session, rows, self.parts, users.merged_schema)
        whole = found.repartition(len(self.parts), TOGETHER).sortWithinPartitions(TOGETHER, "t")
        for row in whole.mapInArrow(made, "made BINARY").toLocalIterator():
            yield pickle.loads(row["made"])  # noqa: S301 - our own executors made it
