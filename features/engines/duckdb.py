"""Reading event logs with DuckDB: lazily and in UTC."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from features.engines.files import shown as listed
from features.engines.times import MICROSECONDS, Unit, is_number
from features.errors import EventLogError
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


@contextmanager
def reading(paths: Sequence[Path]) -> Iterator[None]:
    """Turn DuckDB's errors into ones that name the files."""
    try:
        yield
    except (duckdb.BinderException, duckdb.ParserException):
        raise  # our own SQL or the definition's is at fault, not the files
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        reason = str(error).strip()
        if empty := _empty(paths, reason):
            raise EventLogError(f"{listed(empty)} has no byte.", fix="remove it, or write it again") from error
        if "unicode" in reason or "encoded" in reason:
            raise EventLogError(
                f"{listed(list(paths))} cannot be read with the encoding that is stated (utf-8 when none is).",
                fix="say how the files are encoded, as in events.encoding: latin-1 (utf-8, utf-16, latin-1)",
            ) from error
        raise EventLogError(
            f"cannot read {listed(list(paths))}: {_short(reason)}", fix="repair or remove the file"
        ) from error


def _empty(paths: Sequence[Path], reason: str) -> list[Path]:
    """The files without a byte that are why files cannot be read: all are such, or the reason names them."""
    found = [path for path in paths if path.is_file() and not path.stat().st_size]
    return found if len(found) == len(paths) else [path for path in found if str(path) in reason]


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


def fingerprint(connection: Connection, source: str) -> str:
    """A fingerprint of the rows of a source, in whatever order they come."""
    sql = f"SELECT count(*), sum(CAST(hash(x) AS HUGEINT)), bit_xor(hash(x)) FROM {source} AS x"
    [(rows, total, mixed)] = connection.execute(sql).fetchall()
    return f"{rows}-{total or 0:x}-{mixed or 0:x}"


#: the end of a time that says its zone
ZONED = r"(Z|[+-]\d{2}(:?\d{2})?|UTC|GMT|[A-Z][a-z]+/[A-Za-z_]+)\s*$"


def surveyed(
    connection: Connection, source: str, event: str, user: str, time: str, written: str | None, span: int
) -> tuple[list[tuple[Any, ...]], dict[int, int], tuple[str, int] | None]:
    """Count the rows of a source by name of event, by span of time and by user, in one look at it.

    Args:
        connection: a connection.
        source: the rows.
        event: the column of names.
        user: the column of users.
        time: SQL of the time in microseconds.
        written: the column of times, where these are text.
        span: its length in microseconds.

    Returns:
        Of each name, the most frequent first: name, rows, those whose time in text says its zone, first and last time.
        Rows by span since 1970. The user with most rows, and how many; None where there is no user.
    """
    # the hyphens of a date look like an offset
    zoned = f"length({quote(written)}) > 10 AND regexp_matches({quote(written)}, '{ZONED}')" if written else "false"
    connection.execute(
        f"""CREATE TEMP TABLE counted AS
            SELECT name, span, who, GROUPING(name, span, who) AS others, count(*) AS n,
                   count(*) FILTER (zoned) AS zoned, min(t) AS first, max(t) AS last
            FROM (SELECT coalesce(CAST({quote(event)} AS VARCHAR), '') AS name, {time} AS t, ({time}) // {span} AS span,
                         CAST({quote(user)} AS VARCHAR) AS who, {zoned} AS zoned FROM {source})
            GROUP BY GROUPING SETS ((name), (span), (who))"""
    )
    # GROUPING has a bit for each column that rows are not grouped by
    names = rows_of(
        connection, "SELECT name, n, zoned, first, last FROM counted WHERE others = 3 ORDER BY n DESC, name"
    )
    spans = dict(rows_of(connection, "SELECT span, n FROM counted WHERE others = 5 AND span IS NOT NULL"))
    users = "SELECT who, n FROM counted WHERE others = 6 AND who IS NOT NULL ORDER BY n DESC, who LIMIT 1"
    return names, spans, next(((str(who), int(n)) for who, n in rows_of(connection, users)), None)


def texts_in(connection: Connection, source: str, column: str, where: str, most: int) -> list[str]:
    """The most frequent texts of a column, in upper case and trimmed, among the rows for which SQL holds."""
    sql = f"SELECT upper(trim(CAST({quote(column)} AS VARCHAR))) AS x FROM {source} WHERE {where}"
    rows = rows_of(connection, f"SELECT x FROM ({sql}) WHERE x <> '' GROUP BY x ORDER BY count(*) DESC, x LIMIT {most}")
    return [str(text) for (text,) in rows]


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
    """Read a trait table: ``user``, ``known`` and the fields as text, in its order.

    Args:
        connection: a connection.
        source: SQL that names the table.
        who: SQL of the user's id.
        known: SQL of the time, in microseconds.
        fields: the columns.
    """
    columns = "".join(f", CAST({quote(name)} AS VARCHAR) AS {quote(name)}" for name in fields)
    return connection.sql(
        f'SELECT {who} AS "user", make_timestamptz({known}) AS known{columns} FROM {source}'
    ).to_arrow_table()
