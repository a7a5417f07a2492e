"""Whether the columns of files agree, and whether expressions fit them."""

import re
from collections.abc import Iterable
from pathlib import Path

from sqlglot import exp

from features.engines.duckdb import ENGINE_ERRORS, Connection, quote, reading, text
from features.engines.files import partitions_of
from features.engines.times import is_number
from features.errors import DefinitionError, EventLogError, shown
from features.expressions.dialects import compared, constants, written
from features.expressions.expression import Expression

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
    except ENGINE_ERRORS as error:
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
            if re.search(r"\d[.,]\d{3}\b|,\d", example):
                fix += (
                    f"; where 1,234.50 is written, TRY_CAST(REPLACE({sql}, ',', '') AS DOUBLE), and where 1.234,50 is, "
                    f"TRY_CAST(REPLACE(REPLACE({sql}, '.', ''), ',', '.') AS DOUBLE)"
                )
        raise DefinitionError(f"{key}: {shown(sql)} yields {found}{example}.", fix=fix)


def _fits(connection: Connection, part: exp.Expression, dtypes: list[str]) -> bool:
    """Whether a text is a literal that each type can hold: a date, say."""
    if not isinstance(part, exp.Literal):
        return False
    cast = ", ".join(f"TRY_CAST({part.sql('duckdb')} AS {dtype})" for dtype in dtypes)
    return None not in connection.execute(f"SELECT {cast}").fetchall()[0]
