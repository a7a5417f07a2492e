"""What is asked of a log's rows where they lie, asked by Spark; see `features.reading.look.Look`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import expr

from features.definition.schema import Definition
from features.engines.duckdb import ZONED
from features.engines.rows import DROPS, LATE, SHOWN
from features.events.tombstones import Tombstones
from features.expressions.dialects import written
from features.expressions.expression import Expression
from features.reading.findings import EXAMPLES
from features.reading.left_out import LOOKED_AT, LeftOut
from features.reading.source import QUARTER
from features.reading.survey import Named, Survey, by_day
from features.spark.executors import FILE
from features.spark.intake.column_types import duckdb_types
from features.spark.intake.expressions import instant_sql, quoted
from features.spark.intake.files import files_in
from features.spark.intake.judging import address_of
from features.spark.intake.opening import columns_of, open_files
from features.spark.intake.rows import event_rows
from features.spark.session import plain_names


@dataclass(frozen=True)
class SparkLook:
    """Looks at the files of a log; what came by the live path is not among them.

    Attributes:
        session: the connection.
        definition: the definition.
        known: Spark's types of the columns that files of the log are known to have.
        ends: the log is complete through this instant.
        erased: of whom no row is shown.
    """

    session: SparkSession
    definition: Definition
    known: Mapping[str, str]
    ends: int
    erased: Tombstones

    @cached_property
    def _opened(self) -> DataFrame:
        files = [file.address for file in files_in(self.session, self.definition).values()]
        with plain_names(self.session):
            return open_files(self.session, self.definition, files, self.known)

    @property
    def columns(self) -> dict[str, str]:
        """The log's columns with DuckDB's types."""
        return duckdb_types(columns_of(self._opened))

    def survey(self) -> Survey:
        """See `Look.survey`."""
        names, types = self.definition.events.columns, columns_of(self._opened)
        time = quoted(names.time)
        zoned = f"length({time}) > 10 AND {time} RLIKE '{ZONED.replace(chr(92), chr(92) * 2)}'"
        with plain_names(self.session):
            rows = self._opened.selectExpr(
                f"coalesce(CAST({quoted(names.event)} AS STRING), '') AS name",
                f"{instant_sql(names.time, types.get(names.time, 'string'), self.definition)} AS t",
                f"CAST({quoted(names.user)} AS STRING) AS who",
                f"{zoned if types.get(names.time) == 'string' else 'false'} AS zoned",
            ).persist()
        try:
            counts = ["count(*) AS n", "count_if(zoned) AS zoned", "min(t) AS first", "max(t) AS last"]
            found = _grouped(rows, "name", counts).orderBy("n", "name", ascending=[False, True]).collect()
            spans = _grouped(rows.where("t IS NOT NULL"), f"CAST(floor(t / {QUARTER}) AS BIGINT)", ["count(*) AS n"])
            users = _grouped(rows.where("who IS NOT NULL"), "who", ["count(*) AS n"])
            most = users.orderBy("n", "key", ascending=[False, True]).limit(1).collect()
            by_span = {int(row["key"]): int(row["n"]) for row in spans.collect()}
        finally:
            rows.unpersist()
        named = {str(row["key"]): Named(int(row["n"]), row["first"], row["last"]) for row in found}
        busiest = next(((str(row["key"]), int(row["n"])) for row in most), None)
        timezone = self.definition.timezone
        days = by_day(by_span, QUARTER, timezone)
        return Survey(named, sum(int(row["zoned"]) for row in found), days, busiest, timezone)

    def texts_in(self, column: str, where: Expression, most: int) -> list[str]:
        """See `Look.texts_in`."""
        with plain_names(self.session):
            rows = self._opened.where(written(where, "spark"))
            texts = rows.selectExpr(f"upper(trim(CAST({quoted(column)} AS STRING))) AS x").where("x <> ''")
        counted = _grouped(texts, "x", ["count(*) AS n"]).orderBy("n", "key", ascending=[False, True])
        return [str(row["key"]) for row in counted.limit(most).collect()]

    def left_out(self, counts: Mapping[str, Mapping[str, int]], late: int) -> dict[str, list[LeftOut]]:
        """See `Look.left_out`; which rows are shown, Spark chooses."""
        names = self.definition.events.columns
        texts = [
            f"left(CAST({quoted(name)} AS STRING), {SHOWN}) AS shown{i}"
            for i, name in enumerate((names.user, names.event, names.time))
        ]
        with plain_names(self.session):
            rows = event_rows(self._opened, self.definition, [], more=texts)
        found: dict[str, list[LeftOut]] = {}
        for reason in (*DROPS, LATE):
            there = late if reason == LATE else sum(of_file.get(reason, 0) for of_file in counts.values())
            if not there:
                continue
            which = f"dropped < 0 AND t >= {self.ends}" if reason == LATE else f"dropped = {DROPS.index(reason)}"
            some = rows.where(which).select("user", "shown0", "shown1", "shown2", FILE)
            some = some.limit(LOOKED_AT if self.erased else EXAMPLES)
            found[reason] = self._shown(some)[:EXAMPLES]
        return {reason: some for reason, some in found.items() if some}

    def _shown(self, rows: DataFrame) -> list[LeftOut]:
        """Rows that are left out, without those of erased users."""
        some = rows.collect()
        gone = self.erased.flags(pa.array([row["user"] for row in some], pa.string()))
        return [
            LeftOut(row["shown0"], row["shown1"], row["shown2"], address_of(row[FILE]).rpartition("/")[2])
            for row, is_gone in zip(some, gone, strict=True)
            if not is_gone
        ]


def _grouped(rows: DataFrame, by: str, counts: list[str]) -> DataFrame:
    """Counts of groups of rows, each with its ``key``."""
    return rows.groupBy(expr(by).alias("key")).agg(*map(expr, counts))
