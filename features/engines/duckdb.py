"""Reading event logs with DuckDB: lazily, in UTC, checked row by row, sorted by user and time."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlglot import exp

from features.definition.dialects import compared, constants, written
from features.definition.schema import Definition
from features.errors import DefinitionError, EventLogError, shown
from features.user_id import EXACT, LONGEST, SPACE

#: why a row of the log is left out, in the order of precedence
DROPS = ("no user", "no or unreadable time", "excluded user", "no signal")

_TIME_TYPES = ("TIMESTAMP", "DATE", "VARCHAR")


Connection = duckdb.DuckDBPyConnection


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


def files_of(paths: list[Path]) -> list[Path]:
    """The files that paths, with their ``*``, name today, in order.

    Raises:
        EventLogError: there is none.
    """
    files = [f for p in paths for f in (sorted(p.parent.glob(p.name)) if "*" in p.name else [p] if p.exists() else [])]
    if not files:
        shown = ", ".join(str(p) for p in paths)
        raise EventLogError(f"no file at {shown}.", fix="check 'path'; relative paths start at the definition's folder")
    return files


def source_sql(paths: list[Path], table: str | None) -> str:
    """Say how DuckDB reads these files: Parquet, CSV (also gzipped) or a table of a DuckDB file.

    Raises:
        EventLogError: the files are missing, of different kinds or of an unknown kind.
    """
    files = files_of(paths)
    shown = ", ".join(str(p) for p in paths)
    kinds = {f.name.removesuffix(".gz").rsplit(".", 1)[-1].lower() for f in files}
    if len(kinds) != 1:
        raise EventLogError(f"{shown} mixes {', '.join(sorted(kinds))}.", fix="name files of one kind")
    kind = kinds.pop()
    listed = "[" + ", ".join(text(str(f)) for f in files) + "]"
    if kind in ("parquet", "pq"):
        return f"read_parquet({listed}, union_by_name = true)"
    if kind in ("csv", "tsv"):
        return f"read_csv({listed}, union_by_name = true, header = true, sample_size = -1)"
    if kind in ("duckdb", "db"):
        if table is None or len(files) != 1:
            raise EventLogError(f"{shown} is a DuckDB file.", fix="name one file, and the table in 'events.table'")
        return f"source.{quote(table)}"
    raise EventLogError(f"{shown} is of kind {kind!r}.", fix="use .parquet, .csv, .csv.gz, .tsv or .duckdb")


def file_sql(connection: Connection, file: Path, table: str | None, columns: dict[str, str]) -> str:
    """Say how one file of many is read as if it had all their columns, of their types; what it lacks is null."""
    source = attach(connection, [file], table)
    there = columns_of(connection, source, [file])
    if there == columns:
        return source
    cast = ", ".join(
        f"CAST({quote(name) if name in there else 'NULL'} AS {dtype}) AS {quote(name)}"
        for name, dtype in columns.items()
    )
    return f"(SELECT {cast} FROM {source})"


#: kinds of Parquet columns that can stand in for one another
_KINDS = """CASE WHEN logical_type LIKE 'Timestamp%' OR logical_type LIKE 'Date%' OR type = 'INT96' THEN 'a time'
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
    kinds: dict[str, tuple[str, str]] = {}
    there: dict[str, set[str]] = {str(f): set() for f in files}
    for file, name, kind in rows:
        there[file].add(name)
        first, found = kinds.setdefault(name, (file, kind))
        if name in used and kind != found:
            raise EventLogError(
                f"{file}: column {name!r} holds {kind}; in {first} it holds {found}.",
                fix="write the files anew with one type for each column",
            )
    for file, names in there.items():
        for name in needed:
            if name not in names:
                raise EventLogError(
                    f"{file} has no column {name!r}.", fix=f"its columns are {', '.join(sorted(names))}"
                )


def attach(connection: Connection, paths: list[Path], table: str | None) -> str:
    """Make a source readable on the connection and return the SQL that names it."""
    sql = source_sql(paths, table)
    if sql.startswith("source."):
        with reading(paths):
            connection.execute(f"ATTACH {text(str(paths[0]))} AS source (READ_ONLY)")
    return sql


@contextmanager
def reading(paths: list[Path]) -> Iterator[None]:
    """Turn DuckDB's errors into ones that name the files."""
    try:
        yield
    except (duckdb.BinderException, duckdb.ParserException):
        raise  # our own SQL is at fault, not the files
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        shown = ", ".join(str(p) for p in paths)
        raise EventLogError(f"cannot read {shown}: {str(error).strip()}", fix="mend or remove the file") from error


def columns_of(connection: Connection, sql: str, paths: list[Path]) -> dict[str, str]:
    """List the columns of a source with their types, reading only its head."""
    with reading(paths):
        rows = connection.execute(f"DESCRIBE SELECT * FROM {sql}").fetchall()
    return {row[0]: row[1] for row in rows}


def check_event_sql(connection: Connection, columns: dict[str, str], sql: str, key: str, kind: str) -> None:
    """Bind an expression to the log's columns and check its type: ``BOOLEAN`` or ``DOUBLE``.

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
    numeric = found.startswith(("DECIMAL", "FLOAT", "DOUBLE", "REAL")) or "INT" in found
    if not (found == "BOOLEAN" if kind == "BOOLEAN" else numeric):
        needed = "true or false" if kind == "BOOLEAN" else "a number"
        raise DefinitionError(f"{key}: {shown(sql)} yields {found}.", fix=f"write an expression that yields {needed}")


def _fits(connection: Connection, part: exp.Expression, dtypes: list[str]) -> bool:
    """Whether a text is a literal that each type can hold: a date, say."""
    if not isinstance(part, exp.Literal):
        return False
    cast = ", ".join(f"TRY_CAST({part.sql('duckdb')} AS {dtype})" for dtype in dtypes)
    return None not in connection.execute(f"SELECT {cast}").fetchall()[0]


def time_sql(column: str, columns: dict[str, str], key: str) -> str:
    """Say how a time column becomes microseconds since 1970; naive times are UTC.

    Raises:
        EventLogError: the column has no type that says a time.
    """
    dtype = columns[column]
    if not dtype.startswith(_TIME_TYPES):
        raise EventLogError(
            f"{key} is column {column!r} of type {dtype}, which does not say a time.",
            fix="store it as TIMESTAMP, DATE or ISO text; for epoch numbers write a view with to_timestamp()",
        )
    return f"epoch_us(TRY_CAST({quote(column)} AS TIMESTAMPTZ))"


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


def event_rows(definition: Definition, columns: dict[str, str], source: str) -> str:
    """SQL of the log's rows in our terms.

    Columns: ``user`` text, ``t`` and ``visible`` microseconds, ``id`` text or null, ``mask``, ``v0…`` values, and
    ``dropped``, an index into `DROPS` for rows that are left out, -1 for the others.
    """
    names = definition.events.columns
    rules = list(definition.signals.values())
    mask = " + ".join(
        f"CASE WHEN ({written(rule.where, 'duckdb')}) THEN {1 << i}::BIGINT ELSE 0 END" for i, rule in enumerate(rules)
    )
    values = [written(rule.value, "duckdb") for rule in rules if rule.value is not None]
    # what is missing is often written as NaN, which would spoil every sum it enters
    value_sql = "".join(
        f", CASE WHEN isfinite(CAST(({v}) AS DOUBLE)) THEN CAST(({v}) AS DOUBLE) ELSE 0.0 END AS v{i}"
        for i, v in enumerate(values)
    )
    names_of_values = "".join(f", v{i}" for i in range(len(values)))
    t = time_sql(names.time, columns, "events.columns.time")
    arrived = time_sql(names.arrived, columns, "events.columns.arrived") if names.arrived else "NULL"
    user = user_sql(names.user, columns[names.user])
    excluded = " OR ".join(f"({written(sql, 'duckdb')})" for sql in definition.events.exclude) or "false"
    row_id = f"CAST({quote(names.id)} AS VARCHAR)" if names.id else "NULL::VARCHAR"
    return f"""
        SELECT "user", t, GREATEST(t + 1, COALESCE(arrived, 0)) AS visible, id, mask{names_of_values},
               (CASE WHEN "user" IS NULL THEN 0 WHEN t IS NULL THEN 1 WHEN excluded THEN 2 WHEN mask = 0 THEN 3
                     ELSE -1 END)::INTEGER AS dropped
        FROM (SELECT {user} AS "user", {t} AS t, {arrived} AS arrived, {row_id} AS id, {mask} AS mask{value_sql},
                     {excluded} AS excluded
              FROM {source})"""


def typed(types: dict[str, str], times: Collection[str | None], source: str) -> str:
    """SQL that gives columns of text the types of a log's; those that hold times hold microseconds since 1970."""

    def cast(name: str, dtype: str) -> str:
        if name not in times:
            return f"TRY_CAST({quote(name)} AS {dtype})"
        if dtype == "VARCHAR":  # text says its zone
            return f"CAST(make_timestamp({quote(name)}) AS VARCHAR) || '+00'"
        made = "make_timestamptz" if "TIME ZONE" in dtype else "make_timestamp"
        return f"CAST({made}({quote(name)}) AS {dtype})"

    columns = ", ".join(f"{cast(name, dtype)} AS {quote(name)}" for name, dtype in types.items())
    return f"SELECT {columns} FROM {source}"


def batches(connection: Connection, sql: str, size: int) -> pa.RecordBatchReader:
    """Stream the rows of a query; the order of the files does not matter, so that all cores read."""
    connection.execute("SET preserve_insertion_order = false").fetchall()
    return connection.sql(sql).to_arrow_reader(size)


def span_of(connection: Connection, source: str, time: str) -> tuple[object, object]:
    """Return the first and last time of a source, for people to read."""
    return connection.execute(f"SELECT min({quote(time)}), max({quote(time)}) FROM {source}").fetchall()[0]


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
