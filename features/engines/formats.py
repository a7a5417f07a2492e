"""Which stated format or unit would read the times of a log that are not ISO 8601."""

from pathlib import Path

from features.engines.duckdb import Connection, reading, rows_of, text
from features.engines.times import ISO, candidates, missing, time_sql, unit_of
from features.errors import EventLogError

#: texts that formats are tried on before all are
TRIED = 20


def hint(connection: Connection, source: str, quoted: str, paths: list[Path]) -> str:
    """Advice on how the times of a log can be read, judged by all its files together.

    Args:
        connection: a connection.
        source: SQL of the log's rows.
        quoted: the column of times.
        paths: where the log is, for errors.

    Returns:
        A line for the definition, or the lines to choose from, or that none fits.
    """
    column = f"TRIM(CAST({quoted} AS VARCHAR))"
    iso = time_sql(column, "VARCHAR", [], None, "")
    unread = f"FROM {source} WHERE {column} IS NOT NULL AND NOT {missing(column)} AND {iso} IS NULL"
    with reading(paths):
        some = [str(row[0]) for row in rows_of(connection, f"SELECT DISTINCT {column} {unread} LIMIT {TRIED}")]
        if not some:
            return "compare the column with events.time_format"
        numbers = {unit_of(float(value)) if _is_number(value) else None for value in some}
        if None not in numbers and len(numbers) == 1:
            return f"these are numbers: say events.time_unit: {numbers.pop()}"
        fitting = [written for written in candidates() if _fits(connection, written, some)]
        if not fitting:
            return "say how they are written, as in events.time_format: '%d.%m.%Y %H:%M' (strptime)"
        counted = ", ".join(f"count({time_sql(column, 'VARCHAR', [written], None, '')})" for written in fitting)
        [found] = rows_of(connection, f"SELECT count(*), {counted} {unread}")
        [(iso_ones,)] = rows_of(connection, f"SELECT count({iso}) FROM {source}")
    best = max(found[1:])
    written = [f for f, n in zip(fitting, found[1:], strict=True) if n == best]
    lines = [_line(f, with_iso=bool(iso_ones)) for f in written]
    share = "all of them fit" if best == found[0] else f"{best:,} of these {found[0]:,} fit"
    if len(written) == 1:
        return f"{share} this, and no other known format: say {lines[0]}"
    return f"{share} more than one format; say which one is meant: {' or '.join(lines)}"


def _line(written: str, *, with_iso: bool) -> str:
    return f"events.time_format: [{ISO}, '{written}']" if with_iso else f"events.time_format: '{written}'"


def _fits(connection: Connection, written: str, texts: list[str]) -> bool:
    """Whether a format reads most of some texts, into years that a log can have."""
    values = ", ".join(f"({text(value)})" for value in texts)
    time = time_sql("x", "VARCHAR", [written], None, "")
    try:
        [(found,)] = rows_of(
            connection, f"SELECT count({time}) FILTER ({time} > 631152000000000) FROM (VALUES {values}) AS v(x)"
        )
    except EventLogError:
        return False
    return 2 * int(found) > len(texts)


def _is_number(value: str) -> bool:
    return value.replace(".", "", 1).isdigit()
