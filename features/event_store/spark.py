"""The log on Spark: rows by Spark SQL, spread by user, and the same kernel and the same work in ``mapInArrow``.

Nothing of the log comes to the driver: executors read the files and write the answers.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema
from pyspark.sql.utils import AnalysisException

from features.definition.numbers import EventNumber, event_numbers
from features.definition.schema import Definition
from features.engines.files import KINDS, files_of, partitions_of, suffix_of
from features.engines.keys import spark_key_sql
from features.engines.rows import DROPS, SHOWN, Check, begins
from features.engines.tables import missing
from features.engines.times import MICROSECONDS, java_pattern
from features.errors import EventLogError
from features.events.compacted import NONE, Compacted
from features.events.events import Rows
from features.events.repeats import one_row_an_id
from features.events.tombstones import Tombstones
from features.events.write import Work, replace
from features.expressions.dialects import written
from features.reading.clocks import BLOCK, strays
from features.reading.findings import Finding, judge, words
from features.reading.source import declared_end, resolve, typed_columns
from features.settings import Settings
from features.system.private import make_all_private
from features.system.progress import Progress, ignore
from features.user_id import EXACT, LONGEST, SPACE

log = logging.getLogger("propensity.log")

#: rows of users that are worked on at once
RUN_ROWS = 200_000

#: events of a partition; more of them make more and smaller files
PARTITION_EVENTS = 1_000_000

SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",  # text that is no time is null, and counted
    "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",  # what a folder says is text
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}

_TYPES = {"tinyint": "TINYINT", "smallint": "SMALLINT", "int": "INTEGER", "bigint": "BIGINT", "float": "FLOAT",
          "double": "DOUBLE", "decimal": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE",
          "timestamp": "TIMESTAMP WITH TIME ZONE", "timestamp_ntz": "TIMESTAMP"}  # fmt: skip


def open_session(settings: Settings) -> SparkSession:
    """Connect to the Spark of the settings; one that runs already (Databricks, EMR notebooks) is used as it is."""
    if settings.spark.startswith("local"):
        # else the first python of the PATH works the partitions
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    started = SparkSession.builder.master(settings.spark).appName("propensity")
    session = SparkSession.getActiveSession() or started.getOrCreate()
    for key, value in SESSION.items():
        session.conf.set(key, value)
    return session


class SparkLog:
    """An event log on Spark.

    Args:
        definition: the definition.
        settings: names the Spark; ``home`` must be a path that all its machines see.
        ends: the instant through which the log is complete; overrides the definition's.
        live: what has been compacted out of the live log.

    Raises:
        EventLogError: the log cannot be read as declared.
    """

    runs = 1

    def __init__(
        self, definition: Definition, settings: Settings, *, ends: int | None = None, live: Compacted = NONE
    ) -> None:
        self.definition = definition
        self.live = live
        self.session = open_session(settings)
        declared = declared_end(definition, ends, live)
        if declared is None:
            raise EventLogError(
                "events.ends is not declared.", fix="set the instant through which the log is complete, or give --ends"
            )
        self.ends = declared
        self._erased = Tombstones.load(settings.events(definition.name))
        self.n_values = len(event_numbers(definition))
        self._paths = _paths(definition)
        self._rows = self._read(self._paths)
        if live.events:
            self._rows = self._rows.unionByName(self._read([str(f) for f in live.event_files], ours=True))

    @cached_property
    def _extent(self) -> tuple[int, int]:
        """The earliest event time, and how many events there are."""
        self._judge()
        block = f"CAST(floor(t / {BLOCK}) AS BIGINT)"
        found = self._kept.selectExpr(f"{block} AS block", "t").groupBy("block").agg({"*": "count", "t": "min"})
        blocks = {int(row["block"]): (int(row["count(1)"]), int(row["min(t)"])) for row in found.collect()}
        if not blocks:
            raise EventLogError(
                f"no event is left of {self.definition.events.path}.", fix="compare the signals with the log"
            )
        first, counts = min(first for _, first in blocks.values()), {block: n for block, (n, _) in blocks.items()}
        if said := strays(counts, first, self.ends):
            log.warning("%s", said)
        return first, sum(counts.values())

    def _judge(self) -> None:
        """Refuse a log of whose times too many cannot be read, as the local engine does."""
        looks = self._rows.selectExpr("count(unread)", "count(t)", "min(unread)", "max(unread)").collect()
        [[unread, read, one, other]] = looks
        name = self.definition.events.columns.time
        check = Check(f"time in column {name!r}", "", "")
        examples = tuple(dict.fromkeys(repr(text[:SHOWN]) for text in (one, other) if text is not None))
        found = Finding(rows=int(unread), of=int(unread) + int(read), examples=examples)
        advice = "say how they are written, as in events.time_format: '%d.%m.%Y %H:%M', or events.time_unit: s"
        judge({check.name: found}, self.definition.events.at_most, [check], "", advice)
        if found.rows:
            log.warning("%s.", words(check.name, found))

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
        """Rows of the log, and those left out by reason; doubles are left out later and not counted."""
        found = {row["dropped"]: row["count"] for row in self._rows.groupBy("dropped").count().collect()}
        by_reason = {reason: found.get(i, 0) for i, reason in enumerate(DROPS)}
        return {"rows": sum(found.values()), **{r: n for r, n in by_reason.items() if n or r != "implausible time"}}

    @cached_property
    def _kept(self) -> DataFrame:
        rows = self._rows.where("dropped < 0").drop("dropped", "unread")
        names = self.definition.events.columns
        if names.id is not None:
            content = ["t", "mask", *(f"v{i}" for i in range(self.n_values))]
            rows = _of_one_user(rows, content, self._erased, by_arrival=names.arrived is not None)
        return rows.where(f"t < {self.ends}").drop("ours", "file", "place")

    def write(
        self, work: Work, schema: pl.Schema, folder: Path, *, by: str | None = None, progress: Progress = ignore
    ) -> int:
        """Write what is made of each run of users; see `Log.write`."""
        arrow = pl.DataFrame(schema=schema).to_arrow().schema
        spark_schema = from_arrow_schema(arrow)
        answer = _answering(work, self.n_values, self.ends, self._erased, to_arrow_schema(spark_schema),
                           by_arrival=self.definition.events.columns.arrived is not None)  # fmt: skip
        spread = self._kept.repartition(self.partitions, "user")
        frames = spread.sortWithinPartitions("user", "t").mapInArrow(answer, spark_schema)
        fresh = folder.with_name(folder.name + ".new")
        writer = frames.write.mode("overwrite").option("compression", "zstd")
        (writer if by is None else writer.partitionBy(by)).parquet(fresh.as_uri())
        rows = int(self.session.read.parquet(fresh.as_uri()).count())
        make_all_private(fresh)  # executors write as their own environment says
        replace(fresh, folder)
        progress(1)
        return rows

    @cached_property
    def columns(self) -> dict[str, str]:
        """The log's columns with DuckDB's types; what DuckDB has no name for is text."""
        return {name: _TYPES.get(dtype.split("(")[0], "VARCHAR") for name, dtype in self._open(self._paths).dtypes}

    def _open(self, paths: list[str]) -> DataFrame:
        """The rows of files; all columns of CSV files are text, until `_typed` gives them types."""
        kind = KINDS.get(suffix_of(Path(paths[0])), "parquet")
        keys = partitions_of(Path(paths[0])) if "://" not in paths[0] else {}
        reader = self.session.read.option("mergeSchema", True)
        if keys:
            folders = Path(paths[0]).parts
            base = next(i for i, part in enumerate(folders) if "=" in part)
            reader = reader.option("basePath", str(Path(*folders[:base])))
        if kind == "csv":
            encoding = {"latin-1": "ISO-8859-1"}.get(self.definition.events.encoding, self.definition.events.encoding)
            separator = "\t" if suffix_of(Path(paths[0])) == "tsv" else ","
            return self._typed(reader.options(header=True, sep=separator, encoding=encoding).csv(paths))
        return reader.parquet(*paths)

    def _typed(self, rows: DataFrame) -> DataFrame:
        """Numbers where all values of a column that expressions use are; by one look at all files."""
        names = self.definition.events.columns
        as_written = set(names.model_dump(exclude_none=True).values())
        asked = sorted((typed_columns(self.definition) - as_written) & set(rows.columns))
        if not asked:
            return rows
        there = [f"count(nullif(trim({_quoted(n)}), ''))" for n in asked]
        numbers = [f"count(try_cast(trim({_quoted(n)}) AS DOUBLE))" for n in asked]
        [found] = rows.selectExpr(*there, *numbers).collect()
        for i, name in enumerate(asked):
            if found[i] == found[len(asked) + i]:
                rows = rows.withColumn(name, rows[name].try_cast("double"))
        return rows

    def _read(self, paths: list[str], *, ours: bool = False) -> DataFrame:
        """The log's rows in our terms: as `engines.rows.event_rows`, ids as 64 bits."""
        try:
            opened = self.session.read.parquet(*paths) if ours else self._open(paths)
            types = dict(opened.dtypes)
            place = [f"{int(ours)} AS ours", "input_file_name() AS file", "monotonically_increasing_id() AS place"]
            rows = opened.selectExpr(*_columns(self.definition, types, ours=ours), *place)
            return rows.selectExpr(*_checked(self.n_values, begins(self.definition)), "ours", "file", "place")
        except AnalysisException as error:
            raise EventLogError(
                f"cannot read {', '.join(paths[:3])}: {str(error).splitlines()[0]}",
                fix="check events.path and the signals",
            ) from error


def _of_one_user(rows: DataFrame, content: list[str], erased: Tombstones, *, by_arrival: bool) -> DataFrame:
    """Of ids that several users have sent keep the row that counts, as `features.events.repeats` says.

    Ids of one user are judged where that user's rows are worked on. Only rows of ids of several users are shuffled.

    Args:
        rows: the log's rows.
        content: columns in which repeats agree.
        erased: whose rows count nowhere.
        by_arrival: rows say when they arrived.
    """
    users = rows.where("id <> 0").selectExpr("id", "user AS lowest", "user AS highest").groupBy("id")
    # named by position: Feast lets a session read names in backticks as regular expressions
    spread = users.agg({"lowest": "min", "highest": "max"}).toDF("id", "one", "other").where("one <> other")
    shared = spread.select("id").cache()
    if shared.isEmpty():
        return rows
    contested = rows.join(shared, "id", "left_semi")
    if erased.digests:
        gone = ", ".join(f"'{digest}'" for digest in erased.digests)
        contested = contested.where(f"substring(sha2(user, 256), 1, 32) NOT IN ({gone})")
    order = [*(["visible"] if by_arrival else []), "ours", "file", "place"]
    alike = " AND ".join(f"min({c}) OVER (PARTITION BY id) = max({c}) OVER (PARTITION BY id)" for c in content)
    first, last = (f"row_number() OVER (PARTITION BY id ORDER BY {', '.join(k + way for k in order)})"
                   for way in ("", " DESC"))  # fmt: skip
    judged = contested.selectExpr("*", f"IF({alike}, {first}, {last}) AS turn").where("turn = 1").drop("turn")
    return rows.join(shared, "id", "left_anti").unionByName(judged)


def _paths(definition: Definition) -> list[str]:
    path = definition.events.path
    named = [os.path.expandvars(p) for p in ([path] if isinstance(path, str) else path)]
    if any("://" in p and not p.startswith("file:") for p in named):
        return named
    return [str(file) for file in files_of(resolve(definition, path))]


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _instant(name: str, dtype: str, definition: Definition, *, ours: bool) -> str:
    """As `engines.times.time_sql`."""
    rules, quoted = definition.events, _quoted(name)
    formats = [] if ours else rules.formats
    unit = rules.time_unit or ("us" if ours and dtype != "string" else None)
    number = f"CAST({quoted} AS DOUBLE) * {MICROSECONDS[unit]!r}D" if unit else ""
    rounded = f"IF(abs({number}) < 9e18, CAST(ROUND({number}) AS BIGINT), NULL)"
    if dtype.startswith(("timestamp", "date")):
        return f"unix_micros(CAST({quoted} AS TIMESTAMP))"
    mended = rf"regexp_replace({quoted}, r'\s+([+-]\d{{2}}):?(\d{{2}})\s*$', '$1:$2')"
    iso = f"IF({quoted} RLIKE '^[0-9]{{4}}-[0-9]', unix_micros(try_cast({mended} AS TIMESTAMP)), NULL)"
    if dtype != "string" and unit:
        return rounded
    tried = [
        iso if f == "iso" else f'unix_micros(try_to_timestamp(trim(CAST({quoted} AS STRING)), "{java_pattern(f)}"))'
        for f in formats
    ]
    if not tried:
        tried = [*([rounded] if unit else []), iso]
    return f"COALESCE({', '.join(tried)})"


def _columns(definition: Definition, types: dict[str, str], *, ours: bool) -> list[str]:
    names = definition.events.columns
    rules = list(definition.signals.values())
    quoted = _quoted

    def instant(name: str) -> str:
        return _instant(name, types.get(name, "string"), definition, ours=ours)

    mask = " + ".join(f"IF({written(r.where, 'spark')}, {1 << i}L, 0L)" for i, r in enumerate(rules))
    excluded = " OR ".join(f"({written(sql, 'spark')})" for sql in definition.events.exclude) or "false"
    row_id = f"CAST({quoted(names.id)} AS STRING)" if names.id else "NULL"
    return [
        f"{_user(quoted(names.user))} AS user",
        f"{instant(names.time)} AS t",
        f"CAST({quoted(names.time)} AS STRING) AS written",
        f"{instant(names.arrived) if names.arrived else 'CAST(NULL AS BIGINT)'} AS arrived",
        f"IF({row_id} IS NULL, 0L, xxhash64({row_id})) AS id",
        f"{mask} AS mask",
        *(f"{_number(number, definition)} AS v{i}" for i, number in enumerate(event_numbers(definition))),
        f"({excluded}) AS excluded",
    ]


def _number(number: EventNumber, definition: Definition) -> str:
    """As `engines.rows` has it; what is not finite becomes 0 with the checks."""
    sql = written(number.sql, "spark")
    if not number.key:
        return f"CAST(({sql}) AS DOUBLE)"
    return f"IF({written(definition.signals[number.signal].where, 'spark')}, {spark_key_sql(sql)}, 0D)"


def _user(name: str) -> str:
    """As `engines.duckdb.user_sql`, of a column of any type."""
    number = f"CAST({name} AS DOUBLE)"
    floating = f"typeof({name}) IN ('float', 'double') AND {number} = floor({number}) AND abs({number}) < {EXACT}"
    decimal = f"typeof({name}) LIKE 'decimal%'"
    written = f"""CASE WHEN {floating} THEN CAST(CAST({number} AS BIGINT) AS STRING)
                       WHEN {decimal} THEN regexp_replace(CAST({name} AS STRING), '[.]0+$', '')
                       ELSE CAST({name} AS STRING) END"""
    spaces = "concat(" + ", ".join(f"decode(X'{c.encode().hex()}', 'UTF-8')" for c in SPACE) + ")"
    trimmed = f"trim(BOTH {spaces} FROM {written})"
    held = f"char_length({trimmed}) BETWEEN 1 AND {LONGEST} AND locate(decode(X'00', 'UTF-8'), {trimmed}) = 0"
    return f"CASE WHEN {held} THEN {trimmed} END"


def _checked(n_values: int, earliest: int) -> list[str]:
    finite = [
        f"IF(v{i} IS NULL OR isnan(v{i}) OR abs(v{i}) = double('inf'), 0D, v{i}) AS v{i}" for i in range(n_values)
    ]
    dropped = (
        f"CASE WHEN user IS NULL THEN 0 WHEN t IS NULL THEN 1 WHEN t < {earliest} THEN 2 WHEN excluded THEN 3 "
        "WHEN mask = 0 THEN 4 ELSE -1 END"
    )
    return [
        "user",
        "t",
        "GREATEST(t + 1, COALESCE(arrived, 0L)) AS visible",
        "id",
        "mask",
        *finite,
        f"{dropped} AS dropped",
        f"IF(t IS NULL AND NOT {missing('written')}, written, NULL) AS unread",
    ]


Batches = Iterator[pa.RecordBatch]


def _answering(
    work: Work, n_values: int, ends: int, erased: Tombstones, schema: pa.Schema, *, by_arrival: bool
) -> Callable[[Batches], Batches]:
    """What an executor runs on a partition: whole users at a time, as many as make a run, whatever the batches."""

    def answer(table: pa.Table) -> Batches:
        rows = Rows.of(table, n_values)
        if erased:
            rows = rows.take(~erased.flags(rows.users)[rows.codes])
        once, _ = one_row_an_id(rows, by_arrival=by_arrival, each_user=True)
        events = once.sorted().events(ends, {})
        for frame in work(events) if len(events.users) else ():
            yield from frame.to_arrow().cast(schema).to_batches()

    def partition(batches: Batches) -> Batches:
        held: list[pa.RecordBatch] = []
        rows, enough = 0, RUN_ROWS
        for batch in batches:
            held.append(batch)
            rows += batch.num_rows
            if rows < enough:
                continue
            table = pa.Table.from_batches(held)
            newest = pc.index(table["user"], table["user"][-1]).as_py()
            if newest == 0:  # one user so far
                enough = 2 * rows
                continue
            yield from answer(table.slice(0, newest))
            rest = table.slice(newest)
            held, rows, enough = rest.to_batches(), rest.num_rows, RUN_ROWS
        if rows:
            yield from answer(pa.Table.from_batches(held))

    return partition
