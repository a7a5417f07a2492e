"""The log on Spark: rows by Spark SQL, spread by user, and the same kernel and the same work in ``mapInArrow``.

Nothing of the log comes to the driver: executors read the files and write the answers.
"""

import logging
import shutil
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import polars as pl
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

from features.definition.numbers import event_numbers
from features.definition.schema import Definition
from features.engines.rows import DROPS
from features.errors import EventLogError
from features.events.compacted import NONE, Compacted, declared_end
from features.events.distributed import DistributedLog, EventFile
from features.events.tombstones import Tombstones
from features.events.write import JoinedWork, parts_of_users
from features.identities.merges import of_both_ids, reported
from features.identities.people import NOBODY_MERGED, People
from features.reading.clocks import BLOCK, strays
from features.settings import Settings
from features.spark.changed import write_changed
from features.spark.errors import in_words
from features.spark.event_files import NAME, write_event_files
from features.spark.files import duckdb_types, open_files, paths_of
from features.spark.joining import names_beside, of_sets, with_table
from features.spark.judging import judge_rows
from features.spark.partitions import TOGETHER, answering, made_of_parts
from features.spark.repeats import of_one_user
from features.spark.rows import beside, both_ids, read_rows
from features.spark.session import open_session, plain_names
from features.system.files.durable import replace_folder
from features.system.files.private import make_all_private
from features.system.progress import Progress, ignore

log = logging.getLogger("propensity.log")

#: events of a partition; more of them make more and smaller files
PARTITION_EVENTS = 1_000_000


class SparkLog(DistributedLog):
    """An event log on Spark.

    Args:
        definition: the definition.
        settings: names the Spark; ``home`` must be a path that all its machines see.
        ends: the instant through which the log is complete; overrides the definition's.
        live: what has been compacted out of the live log.

    Raises:
        EventLogError: the log cannot be read as declared.
        SparkError: Spark does not answer.
    """

    runs = 1

    def __init__(
        self, definition: Definition, settings: Settings, *, ends: int | None = None, live: Compacted = NONE
    ) -> None:
        self.definition = definition
        self._live = live
        self.session = open_session(settings)
        declared = declared_end(definition, ends, live)
        if declared is None:
            raise EventLogError(
                "events.ends is not declared.", fix="set the instant through which the log is complete, or give --ends"
            )
        self._ends = declared
        self.erased = Tombstones.load(settings.events(definition.name))
        self.n_values = len(event_numbers(definition))
        path = definition.events.path
        self._place = path if isinstance(path, str) else ", ".join(path[:3])
        with in_words(self._place):
            self._paths = paths_of(self.session, definition)
            self._rows = read_rows(self.session, definition, self._paths)
            if live.events:
                ours = [f"file://{file}" for file in live.event_files]
                self._rows = self._rows.unionByName(read_rows(self.session, definition, ours, ours=True))

    @property
    def ends(self) -> int:
        """The log is complete through this instant."""
        return self._ends

    @property
    def live(self) -> Compacted:
        """What of it came by the live path."""
        return self._live

    @cached_property
    def _extent(self) -> tuple[int, int]:
        """The earliest event time, and how many events there are."""
        block = f"CAST(floor(t / {BLOCK}) AS BIGINT)"
        with in_words(self._place):
            judge_rows(self._rows, self.definition)
            found = self._kept.selectExpr(f"{block} AS block", "t").groupBy("block").agg({"*": "count", "t": "min"})
            blocks = {int(row["block"]): (int(row["count(1)"]), int(row["min(t)"])) for row in found.collect()}
        if not blocks:
            raise EventLogError(
                f"no event is left of {self.definition.events.path}.", fix="compare the signals with the log"
            )
        first, counts = min(first for _, first in blocks.values()), {block: n for block, (n, _) in blocks.items()}
        if warning := strays(counts, first, self.ends):
            log.warning("%s", warning)
        return first, sum(counts.values())

    @property
    def first(self) -> int:
        """The earliest event time."""
        return self._extent[0]

    @property
    def partitions(self) -> int:
        """Into how many partitions users are spread: one a core, or as many as hold a million events each."""
        cores = int(self.session.sparkContext.defaultParallelism)
        return max(cores, -(-self._extent[1] // PARTITION_EVENTS))

    @cached_property
    def counts(self) -> dict[str, int]:
        """Rows of the log, and those left out by reason; duplicates are left out later and not counted."""
        with in_words(self._place):
            found = {row["dropped"]: row["count"] for row in self._rows.groupBy("dropped").count().collect()}
        by_reason = {reason: found.get(i, 0) for i, reason in enumerate(DROPS)}
        return {"rows": sum(found.values()), **{r: n for r, n in by_reason.items() if n or r != "implausible time"}}

    @property
    def _kept(self) -> DataFrame:
        return self._named.drop(NAME)

    @cached_property
    def _named(self) -> DataFrame:
        """The rows that count, with `NAME`."""
        rows = self._rows.where("dropped < 0").drop("dropped", "unread")
        names = self.definition.events.columns
        if names.id is not None:
            content = ["t", "mask", *(f"v{i}" for i in range(self.n_values))]
            rows = of_one_user(rows, content, self.erased, by_arrival=names.arrived is not None)
        return rows.where(f"t < {self.ends}").drop("ours", "file", "place", *beside(self.definition))

    def write_joined(
        self,
        table: pl.DataFrame | None,
        work: JoinedWork,
        schema: pl.Schema,
        folder: Path,
        *,
        by: str | None = None,
        progress: Progress = ignore,
    ) -> int:
        """Write what is made of each run's events and of their rows of a table; see `Log.write_joined`.

        The driver writes the table to a file; executors read it, and spread its rows by user as they spread events.
        """
        fresh, beside = (folder.with_name(folder.name + end) for end in (".new", ".beside"))
        try:
            with in_words(self._place):
                rows = self._written(work, schema, fresh, by, table, beside)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        make_all_private(fresh)  # executors write as their own environment says
        replace_folder(fresh, folder)
        progress(1)
        return rows

    def _written(
        self,
        work: JoinedWork,
        schema: pl.Schema,
        folder: Path,
        by: str | None,
        table: pl.DataFrame | None,
        beside: Path,
    ) -> int:
        rows = self._kept if table is None else with_table(self._kept, table, beside)
        names = None if table is None else names_beside(table)
        spark_schema = from_arrow_schema(pl.DataFrame(schema=schema).to_arrow().schema)
        people = self.session.sparkContext.broadcast(self.people) if self.people else None
        answer = answering(work, self.n_values, self.ends, self.erased, to_arrow_schema(spark_schema), people,
                           by_arrival=self.definition.events.columns.arrived is not None, beside=names)  # fmt: skip
        rows, key = (of_sets(rows, self.people), TOGETHER) if self.people else (rows, "user")
        spread = rows.repartition(self.partitions, key)
        frames = spread.sortWithinPartitions(key, "t").mapInArrow(answer, spark_schema)
        writer = frames.write.mode("overwrite").option("compression", "zstd")
        # not as_uri(): Hadoop takes %20 for three characters
        (writer if by is None else writer.partitionBy(by)).parquet(f"file://{folder}")
        return int(self.session.read.option("__globPaths__", False).parquet(f"file://{folder}").count())

    @property
    def n_events(self) -> int:
        """How many events there are, with those that come twice."""
        return self._extent[1]

    def write_events(self, folder: Path, buckets: int) -> list[EventFile]:
        """Write all events that count, by bucket; see `DistributedLog.write_events`."""
        by_arrival = self.definition.events.columns.arrived is not None
        with in_words(self._place):
            files = write_event_files(
                self._named, folder, self.partitions, buckets, self.n_values, self.erased, by_arrival=by_arrival
            )
        make_all_private(folder)  # executors write as their own environment says
        return files

    def write_changed(self, now: Path, before: Path | None, folder: Path, *, since: int, gone: bytes) -> None:
        """Write what has changed since the last time; see `DistributedLog.write_changed`."""
        with in_words(str(folder)):
            write_changed(self.session, now, before, folder, self.partitions, since=since, gone=gone)
        make_all_private(folder)

    def gather(
        self, folder: Path, columns: Sequence[str], work: Callable[[pl.DataFrame], pl.DataFrame]
    ) -> pl.DataFrame:
        """Bring together what executors make of each part; see `Log.gather`."""
        parts = [[str(file) for file in files] for files in parts_of_users(folder)]
        with in_words(str(folder)):
            spread = self.session.sparkContext.parallelize(parts, len(parts))
            found = spread.map(made_of_parts(columns, work)).collect()
        return pl.concat(map(pl.read_ipc_stream, found))

    @cached_property
    def columns(self) -> dict[str, str]:
        """The log's columns with DuckDB's types; what DuckDB has no name for is text."""
        with in_words(self._place), plain_names(self.session):
            return duckdb_types(open_files(self.session, self.definition, self._paths))

    @cached_property
    def people(self) -> People:
        """Who is who; what is reported of ids comes to the driver, one row a pair of ids, and is judged there."""
        if self.definition.identities is None:
            return NOBODY_MERGED
        every = reported(of_both_ids(self.both), self.definition, self.live, self.erased)
        return People.of(every, self.definition.identities)

    @cached_property
    def both(self) -> pl.DataFrame:
        """The pairs of ids that are in one row, each where it is seen first, `BOTH_IDS`."""
        with in_words(self._place):
            return both_ids(self._rows, self.definition)
