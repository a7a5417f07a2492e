"""The rows of an export in the kinds that are declared, and what of them cannot be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.engines.duckdb import ENGINE_ERRORS, Connection, quote, rows_of, text
from features.engines.times import missing, time_sql
from features.errors import EventLogError
from features.imports.fields import Fields
from features.imports.importer import Column, Importer, Time
from features.reading.findings import FEW, Finding, words

#: the largest share of values that cannot be read; above it a file is refused
UNREADABLE = 0.05

#: a number of seconds since 1970 is below, one of milliseconds above: the years 1973 and 5138
_SECONDS = 100_000_000_000


def typed(connection: Connection, importer: Importer, fields: Fields, file: Path) -> dict[str, Finding]:
    """Make the table ``typed`` of the table ``raw``, with what is written beside each value.

    Returns:
        What of each column cannot be read.

    Raises:
        EventLogError: an expression does not fit, or a file has times in seconds and in milliseconds.
    """
    written = [f"CAST(({fields.over(sql)}) AS VARCHAR) AS {_text(name)}" for name, sql in importer.sql.items()]
    events = f" WHERE COALESCE(({fields.over(importer.where)}), false)" if importer.where is not None else ""
    plain = [name for name in importer.sql if name in ("user", "event", "id")]
    values = {name: f"NULLIF(TRIM({_text(name)}), '')" for name in plain}
    with _fitting(file, importer):
        connection.execute(f"CREATE TABLE written AS SELECT {', '.join(written)} FROM raw{events}")
        connection.execute("DROP TABLE raw")
        times = {"time": importer.time} | ({"arrived": importer.arrived} if importer.arrived is not None else {})
        values |= {name: _time(name, time, connection, file) for name, time in times.items()}
        values |= {name: _value(_text(name), column, importer) for name, column in importer.columns.items()}
        listed = ", ".join(f"{sql} AS {quote(name)}" for name, sql in values.items())
        connection.execute(f"SET TimeZone = {text(importer.zone or 'UTC')}")
        connection.execute(f"CREATE TABLE typed AS SELECT *, {listed} FROM written")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("DROP TABLE written")
    return {name: _unreadable(connection, name, file) for name in (*times, *importer.columns)}


def _text(name: str) -> str:
    """The column that holds what is written."""
    return quote(f"{name} as written")


def _time(name: str, time: Time, connection: Connection, file: Path) -> str:
    """SQL of microseconds since 1970."""
    written = _text(name)
    if time.unit != "s_or_ms":
        return time_sql(written, "VARCHAR", time.formats, time.unit, name)
    number = f"TRY_CAST({written} AS DOUBLE)"
    [(seconds, milliseconds)] = rows_of(
        connection,
        f"SELECT count(*) FILTER (abs({number}) < {_SECONDS}), count(*) FILTER (abs({number}) >= {_SECONDS}) "
        "FROM written",
    )
    if seconds and milliseconds:
        raise EventLogError(
            f"{file}: {seconds:,} times are in seconds and {milliseconds:,} in milliseconds.",
            fix="export the periods before and after the change on their own, and import each with its unit",
            code="unreadable",
        )
    return time_sql(written, "VARCHAR", [], "s" if seconds else "ms", name)


def _value(written: str, column: Column, importer: Importer) -> str:
    """SQL of a further column; NULL where what is written is not of its kind."""
    if column.kind == "number":
        number = f"TRIM({written})"
        if importer.decimal == ",":
            number = f"replace(replace({number}, '.', ''), ',', '.')"
        found = f"TRY_CAST({number} AS DOUBLE)"
        return f"CASE WHEN isfinite({found}) THEN {found} END"
    return f"TRY_CAST(TRIM({written}) AS BOOLEAN)" if column.kind == "truth" else written


@contextmanager
def _fitting(file: Path, importer: Importer) -> Iterator[None]:
    """Name the file and the mapping where an expression does not fit."""
    try:
        yield
    except ENGINE_ERRORS as error:
        raise EventLogError(
            f"{file.name}: an expression of the importer for {importer.title} does not fit: "
            f"{str(error).strip().splitlines()[0]}.",
            fix="fields are text: write TRY_CAST(x AS DOUBLE) where a number is needed",
        ) from error


def _unreadable(connection: Connection, name: str, file: Path) -> Finding:
    """What of a column cannot be read."""
    value, written = quote(name), _text(name)
    there = f"{written} IS NOT NULL AND NOT {missing(written)}"
    [(of, rows)] = rows_of(connection, f"SELECT count(*), count(*) FILTER ({value} IS NULL) FROM typed WHERE {there}")
    shown = []
    if rows:
        bad = f"SELECT DISTINCT {written} FROM typed WHERE {there} AND {value} IS NULL ORDER BY 1 LIMIT 3"
        shown = [f"{found[:80]!r} in {file.name}" for (found,) in rows_of(connection, bad)]
    return Finding(rows=rows, of=of, examples=tuple(shown))


def judge(findings: dict[str, Finding]) -> None:
    """Refuse a file of which too much cannot be read.

    Raises:
        EventLogError: ``unreadable``.
    """
    for name, found in findings.items():
        if found.rows and found.share > UNREADABLE and (found.of >= FEW or found.rows == found.of):
            raise EventLogError(
                f"{words(name, found)}.",
                fix="see docs/how-to/imports.md: state the unit, format, zone, decimal mark or kind of the column, or "
                "correct the file",
                code="unreadable",
            )
