"""Reading event logs with DuckDB: lazily and in UTC."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from features.engines.files import partitions_of
from features.engines.files import shown as listed
from features.engines.times import MICROSECONDS, Unit, is_number
from features.errors import DefinitionError, EventLogError, shown
from features.expressions.dialects import compared, constants, written
from features.expressions.expression import Expression
from features.user_id import EXACT, LONGEST, SPACE

Connection = duckdb.DuckDBPyConnection

#: what goes wrong in the engine
ENGINE_ERRORS = duckdb.Error


def open_connection() -> Connection:
    """Open an in-memory connection whose clock is UTC, for somebody who keeps it."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


@contextmanager
def connect() -> Iterator[Connection]:
    """Open an in-memory connection whose clock is UTC."""
    connection = open_connection()
    try:
        yield connection
    finally:
        connection.close()


def quote(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Quote a string."""
    return "'" + value.replace("'", "''") + "'"


#: kinds of Parquet columns that can stand in for one another
_KINDS = """CASE WHEN logical_type LIKE 'Null%' THEN NULL  -- all of it is empty
                 WHEN logical_type LIKE 'Timestamp%' OR logical_type LIKE 'Date%' OR type = 'INT96' THEN 'a time'
                 WHEN type LIKE '%BYTE_ARRAY' AND coalesce(logical_type, '') NOT LIKE 'Decimal%' THEN 'text'
                 WHEN type = 'BOOLEAN' THEN 'true or false' ELSE 'a number' END"""


def check_same_columns(connection: Connection, files: list[Path], needed: Iterable[str], used: set[str]) -> None:
    """Check that Parquet files agree on the columns that matter, so that no day is read as something else.

    Args:
        connection: a connection.
        files: the log's files; other kinds than Parquet are not looked into.
        needed: every file must have these.
        used: these must be of one kind in all files that have them.

    Raises:
        EventLogError: names the first file that differs.
    """
    if files[0].suffix not in (".parquet", ".pq"):
        return
    listed = "[" + ", ".join(text(str(f)) for f in files) + "]"
    with reading(files):
        rows = connection.execute(
            f"SELECT file_name, name, {_KINDS} FROM parquet_schema({listed}) WHERE type IS NOT NULL"
        ).fetchall()
        counted = connection.execute(f"SELECT file_name, num_rows FROM parquet_file_metadata({listed})").fetchall()
    empty = {file for file, count in counted if not count}
    kinds: dict[str, tuple[str, str]] = {}
    there: dict[str, set[str]] = {str(f): set(partitions_of(f)) for f in files if str(f) not in empty}
    for file, name, kind in rows:
        if file in empty:
            continue
        there[file].add(name)
        if kind is None:
            continue
        first, found = kinds.setdefault(name, (file, kind))
        if name in used and kind != found:
            raise EventLogError(
                f"{file}: column {name!r} holds {kind}; in {first} it holds {found}.",
                fix="write the files again with one type for each column",
            )
    for file, names in there.items():
        for name in needed:
            if name not in names:
                raise EventLogError(
                    f"{file} has no column {name!r}.", fix=f"its columns are {', '.join(sorted(names))}"
                )


@contextmanager
def reading(paths: Sequence[Path]) -> Iterator[None]:
    """Turn DuckDB's errors into ones that name the files."""
    try:
        yield
    except (duckdb.BinderException, duckdb.ParserException):
        raise  # our own SQL or the definition's is at fault, not the files
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        reason = str(error).strip()
        if "unicode" in reason or "encoded" in reason:
            raise EventLogError(
                f"{listed(list(paths))} cannot be read with the encoding that is stated (utf-8 when none is).",
                fix="say how the files are encoded, as in events.encoding: latin-1 (utf-8, utf-16, latin-1)",
            ) from error
        raise EventLogError(
            f"cannot read {listed(list(paths))}: {_short(reason)}", fix="repair or remove the file"
        ) from error


def _short(reason: str) -> str:
    """The first lines of what DuckDB says; the rest lists the settings of its readers."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    return " ".join(lines[:2])[:300]


def rows_of(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    return connection.execute(sql).fetchall()


def some_of(
    connection: Connection, source: str, columns: Sequence[str], where: str, most: int
) -> list[tuple[Any, ...]]:
    """The first rows of a source for which a condition holds, as DuckDB finds them.

    Args:
        connection: a connection.
        source: the rows.
        columns: SQL of what is wanted of them.
        where: the condition.
        most: how many at most.
    """
    return rows_of(connection, f"SELECT {', '.join(columns)} FROM {source} WHERE {where} LIMIT {most}")


def check_event_sql(
    connection: Connection, columns: dict[str, str], sql: Expression, key: str, kind: str, example: str = ""
) -> None:
    """Bind an expression to the log's columns and check its type: ``BOOLEAN``, ``DOUBLE``, or what a ``KEY`` is of.

    Raises:
        DefinitionError: it does not bind, compares text with something else, or yields another type.
    """
    empty = ", ".join(f"NULL::{dtype} AS {quote(name)}" for name, dtype in columns.items())

    def types(*expressions: str) -> list[str]:
        listed = ", ".join(f"({one}) AS x{i}" for i, one in enumerate(expressions))
        return [row[1] for row in connection.execute(f"DESCRIBE SELECT {listed} FROM (SELECT {empty})").fetchall()]

    same = "compare numbers with numbers, text with text"
    try:
        found, _ = types(sql, written(sql, "duckdb"))
        for parts in compared(sql):
            kinds = types(*(part.sql("duckdb") for part in parts))
            others = [dtype for dtype in kinds if dtype not in ("VARCHAR", '"NULL"')]
            for part, dtype in zip(parts, kinds, strict=True):
                if others and dtype == "VARCHAR" and not _fits(connection, part, others):
                    raise DefinitionError(
                        f"{key}: {shown(sql)} compares {shown(part.sql('duckdb'))}, which is text, with {others[0]}.",
                        fix=f"{same}; TRY_CAST(x AS DOUBLE) makes a number of text",
                    )
        for constant in constants(sql):
            connection.execute(f"SELECT {constant.sql('duckdb')}").fetchall()
    except duckdb.Error as error:
        reason = str(error).strip().split("\n")[0]
        raise DefinitionError(f"{key}: {shown(sql)}: {reason}.", fix=same) from error
    if kind == "KEY":
        if not (found.startswith(("BOOLEAN", "VARCHAR", "UUID", "ENUM", "DATE")) or is_number(found)):
            raise DefinitionError(
                f"{key}: {shown(sql)} yields {found}, whose values cannot be compared.", fix="name text or a number"
            )
        return
    if not (found == "BOOLEAN" if kind == "BOOLEAN" else is_number(found)):
        needed = "true or false" if kind == "BOOLEAN" else "a number"
        fix = f"write an expression that yields {needed}"
        if found == "VARCHAR" and kind != "BOOLEAN":
            fix += f", as in TRY_CAST({sql} AS DOUBLE)"
        raise DefinitionError(f"{key}: {shown(sql)} yields {found}{example}.", fix=fix)


def _fits(connection: Connection, part: exp.Expression, dtypes: list[str]) -> bool:
    """Whether a text is a literal that each type can hold: a date, say."""
    if not isinstance(part, exp.Literal):
        return False
    cast = ", ".join(f"TRY_CAST({part.sql('duckdb')} AS {dtype})" for dtype in dtypes)
    return None not in connection.execute(f"SELECT {cast}").fetchall()[0]


def user_sql(column: str, dtype: str) -> str:
    """Say how a column's value becomes a user id, as `features.user_id.user_id` has it; what is none is null."""
    name = quote(column)
    written = f"CAST({name} AS VARCHAR)"
    if dtype.startswith(("DOUBLE", "FLOAT", "REAL")):
        whole = f"{name} = trunc({name}) AND abs({name}) < {EXACT}"
        written = f"CASE WHEN {whole} THEN CAST(CAST({name} AS BIGINT) AS VARCHAR) ELSE {written} END"
    elif dtype.startswith("DECIMAL"):
        written = f"regexp_replace({written}, '\\.0+$', '')"
    trimmed = f"TRIM({written}, {text(SPACE)})"
    # nearly all ids are printable ASCII, and taking Unicode's white space off is slow
    return f"""CASE WHEN regexp_full_match({written}, '[!-~]{{1,{LONGEST}}}') THEN {written}
                    WHEN length({trimmed}) BETWEEN 1 AND {LONGEST} AND NOT contains({trimmed}, chr(0)) THEN {trimmed}
               END"""


def typed(types: dict[str, str], times: dict[str | None, Unit | None], source: str) -> str:
    """SQL that gives columns of text the types of a log's.

    Args:
        types: the columns with their types.
        times: those that hold times, as microseconds since 1970, and the unit of those that are numbers in the log.
        source: the rows.
    """

    def cast(name: str, dtype: str) -> str:
        if name not in times:
            return f"TRY_CAST({quote(name)} AS {dtype})"
        if dtype == "VARCHAR":  # text says its zone
            return f"CAST(make_timestamp({quote(name)}) AS VARCHAR) || '+00'"
        if is_number(dtype):
            return f"CAST({quote(name)} / {MICROSECONDS[times[name] or 'us']!r} AS {dtype})"
        made = "make_timestamptz" if "TIME ZONE" in dtype else "make_timestamp"
        return f"CAST({made}({quote(name)}) AS {dtype})"

    columns = ", ".join(f"{cast(name, dtype)} AS {quote(name)}" for name, dtype in types.items())
    return f"SELECT {columns} FROM {source}"


def batches(connection: Connection, sql: str, size: int, *, in_order: bool) -> pa.RecordBatchReader:
    """Stream the rows of a query; where their order does not matter, all cores read."""
    connection.execute(f"SET preserve_insertion_order = {str(in_order).lower()}").fetchall()
    return connection.sql(sql).to_arrow_reader(size)


def fingerprint(connection: Connection, source: str) -> str:
    """A fingerprint of the rows of a source, in whatever order they come."""
    sql = f"SELECT count(*), sum(CAST(hash(x) AS HUGEINT)), bit_xor(hash(x)) FROM {source} AS x"
    [(rows, total, mixed)] = connection.execute(sql).fetchall()
    return f"{rows}-{total or 0:x}-{mixed or 0:x}"


#: the end of a time that says its zone
ZONED = r"(Z|[+-]\d{2}(:?\d{2})?|UTC|GMT|[A-Z][a-z]+/[A-Za-z_]+)\s*$"


def surveyed(
    connection: Connection, source: str, event: str, user: str, time: str, written: str | None, day: int
) -> tuple[list[tuple[Any, ...]], dict[int, int], tuple[str, int] | None]:
    """Count the rows of a source by name of event, by day and by user, in one look at it.

    Args:
        connection: a connection.
        source: the rows.
        event: the column of names.
        user: the column of users.
        time: SQL of the time in microseconds.
        written: the column of times, where these are text.
        day: microseconds of a day.

    Returns:
        Of each name, the most frequent first: name, rows, those whose time in text says its zone, first and last time.
        Rows by day since 1970. The user with most rows, and how many; None where there is no user.
    """
    # the hyphens of a date look like an offset
    zoned = f"length({quote(written)}) > 10 AND regexp_matches({quote(written)}, '{ZONED}')" if written else "false"
    connection.execute(
        f"""CREATE TEMP TABLE counted AS
            SELECT name, day, who, GROUPING(name, day, who) AS others, count(*) AS n, count(*) FILTER (zoned) AS zoned,
                   min(t) AS first, max(t) AS last
            FROM (SELECT coalesce(CAST({quote(event)} AS VARCHAR), '') AS name, {time} AS t, ({time}) // {day} AS day,
                         CAST({quote(user)} AS VARCHAR) AS who, {zoned} AS zoned FROM {source})
            GROUP BY GROUPING SETS ((name), (day), (who))"""
    )
    # GROUPING has a bit for each column that rows are not grouped by
    names = rows_of(
        connection, "SELECT name, n, zoned, first, last FROM counted WHERE others = 3 ORDER BY n DESC, name"
    )
    days = dict(rows_of(connection, "SELECT day, n FROM counted WHERE others = 5 AND day IS NOT NULL"))
    users = "SELECT who, n FROM counted WHERE others = 6 AND who IS NOT NULL ORDER BY n DESC, who LIMIT 1"
    return names, days, next(((str(who), int(n)) for who, n in rows_of(connection, users)), None)


def registered(connection: Connection, name: str, rows: pa.RecordBatchReader | pa.Table) -> str:
    """Make Arrow rows a table of a connection, to be read once where they are on their way; returns its name."""
    connection.register(name, rows)
    return quote(name)


def spill(connection: Connection, folder: Path) -> None:
    """Say where a connection puts what does not fit into memory."""
    connection.execute(f"SET temp_directory = {text(str(folder))}")


def with_texts(connection: Connection, source: str, user: str, others: Sequence[str]) -> str:
    """SQL of rows whose ids are text: users in their normal form, others as they are written.

    Args:
        connection: a connection.
        source: SQL that names the rows.
        user: the column of users; one of broken numbers stays, so that its rounded values are found.
        others: columns of other ids and names.
    """
    types = {row[0]: row[1] for row in rows_of(connection, f"DESCRIBE SELECT * FROM {source}")}

    def column(name: str, dtype: str) -> str:
        if name == user and dtype not in ("DOUBLE", "FLOAT"):
            return f"{user_sql(name, dtype)} AS {quote(name)}"
        return f"CAST({quote(name)} AS VARCHAR) AS {quote(name)}" if name in others else quote(name)

    return f"SELECT {', '.join(column(name, dtype) for name, dtype in types.items())} FROM {source}"


def without(connection: Connection, sql: str, files: Sequence[Path]) -> str:
    """SQL of the rows of a query that some Parquet files do not have; each row of theirs takes away one like it."""
    listed = "[" + ", ".join(text(str(file)) for file in files) + "]"
    known = f"read_parquet({listed}, union_by_name = true, hive_partitioning = false)"
    names = [row[0] for row in rows_of(connection, f"DESCRIBE {sql}")]
    there = {row[0] for row in rows_of(connection, f"DESCRIBE SELECT * FROM {known}")}
    columns = ", ".join(quote(name) if name in there else "NULL" for name in names)
    return f"{sql} EXCEPT ALL SELECT {columns} FROM {known}"


def last_of(connection: Connection, source: str, time: str) -> str:
    """The last instant of a source, for people to read.

    Args:
        connection: a connection.
        source: the rows.
        time: SQL of their time in microseconds.
    """
    [(last,)] = connection.execute(f"SELECT CAST(make_timestamp(max({time})) AS VARCHAR) FROM {source}").fetchall()
    return str(last)


def load_traits(connection: Connection, source: str, who: str, known: str, fields: list[str]) -> pa.Table:
    """Read a trait table: ``user``, ``known`` and the fields as text, sorted; without user or time left out.

    Args:
        connection: a connection.
        source: SQL that names the table.
        who: SQL of the user's id.
        known: SQL of the time, in microseconds.
        fields: the columns.
    """
    columns = "".join(f", CAST({quote(name)} AS VARCHAR) AS {quote(name)}" for name in fields)
    return connection.sql(
        f"""SELECT {who} AS "user", make_timestamptz({known}) AS known{columns} FROM {source}
            WHERE {who} IS NOT NULL AND {known} IS NOT NULL ORDER BY 1, 2"""
    ).to_arrow_table()
