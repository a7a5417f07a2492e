"""One exported file made into one Parquet file of the log: whole or not at all, with what became of its rows."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from features.engines.duckdb import ENGINE_ERRORS, Connection, connect, quote, reading, rows_of, text
from features.engines.tables import missing
from features.engines.times import time_sql
from features.errors import EventLogError
from features.imports.archives import members, relation
from features.imports.fields import named, of_json, of_table, over
from features.imports.importer import CANONICAL, Column, Importer, Time
from features.reading.findings import FEW, Finding, words
from features.system.durable import replacing

#: the largest share of values that cannot be read; above it a file is refused
UNREADABLE = 0.05

#: a number of seconds since 1970 is below, one of milliseconds above: the years 1973 and 5138
_SECONDS = 100_000_000_000


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of a file.

    Attributes:
        file: the exported file.
        rows: how many rows the log has of it.
        dropped: rows that it has not, by reason.
        findings: values that cannot be read, by name.
    """

    file: Path
    rows: int
    dropped: dict[str, int]
    findings: dict[str, Finding]

    @property
    def said(self) -> list[str]:
        """The findings in sentences."""
        return [f"{words(name, found)}." for name, found in self.findings.items() if found.rows]


def convert(file: Path, importer: Importer, to: Path, marks: dict[str, str]) -> Converted:
    """Convert a file.

    Args:
        file: the exported file; an archive is unpacked beside the result for as long as it takes.
        importer: the mapping.
        to: the Parquet file that is written, with the columns ``user, event, time, arrived, id`` and the importer's.
        marks: texts that are kept in its metadata.

    Raises:
        EventLogError: the file cannot be read, or too many of its values cannot (``unreadable``).
    """
    with connect() as connection, TemporaryDirectory(dir=to.parent, prefix=".unpacked-") as scratch:
        broken = _gather(connection, members(file, Path(scratch), importer), importer)
        _collapse(connection, importer)
        rows = _type(connection, importer, file)
        findings = {"line of JSON": broken} if broken.of else {}
        times = ("time", "arrived") if importer.arrived is not None else ("time",)
        findings |= {name: _unreadable(connection, name, file) for name in (*times, *importer.columns)}
        _judge(findings)
        with replacing(to) as fresh:
            counts = _write(connection, importer, fresh, marks)
    kept = counts.pop("rows")
    dropped = {"not an event": rows - kept - sum(counts.values()), **counts}
    return Converted(file, kept, {reason: n for reason, n in dropped.items() if n}, findings)


def _expressions(importer: Importer) -> dict[str, str]:
    """All columns of the result that an importer has, with their expressions."""
    own = {"user": importer.user, "event": importer.event, "time": importer.time.sql}
    own |= {"arrived": importer.arrived.sql} if importer.arrived is not None else {}
    own |= {"id": importer.id} if importer.id is not None else {}
    return own | {name: column.sql for name, column in importer.columns.items()}


def _gather(connection: Connection, files: Iterable[Path], importer: Importer) -> Finding:
    """Read the fields of all rows as text into the table ``raw``; returns the lines of JSON that are none."""
    asked = named([*_expressions(importer).values(), *([importer.where] if importer.where is not None else [])])
    if importer.one_row_per is not None:
        asked[importer.one_row_per] = importer.one_row_per.split(".")
    connection.execute(f"CREATE TABLE raw ({', '.join(f'{quote(name)} VARCHAR' for name in asked)})")
    broken = Finding(rows=0, of=0)
    for file in files:
        rows = relation(connection, file, importer)
        if rows.types:
            values = [of_table(path, rows.types, importer.lists) for path in asked.values()]
            if all(value.startswith("NULL") for value in values):
                fix = f"its columns are {', '.join(rows.types)}: is it an export of {importer.title}?"
                raise EventLogError(f"{file.name} has none of the columns that the importer reads.", fix=fix)
            sql = f"SELECT {', '.join(values)} FROM {rows.sql}"
        else:
            values = [of_json("row", path, importer.lists) for path in asked.values()]
            sql = f"SELECT {', '.join(values)} FROM {rows.sql} WHERE json_valid(row)"
            broken += _broken(connection, rows.sql, file)
        with reading([file]):
            connection.execute(f"INSERT INTO raw {sql}")
    return broken


def _broken(connection: Connection, rows: str, file: Path) -> Finding:
    with reading([file]):
        [(count, bad)] = rows_of(connection, f"SELECT count(*), count(*) FILTER (NOT json_valid(row)) FROM {rows}")
        shown = rows_of(connection, f"SELECT row FROM {rows} WHERE NOT json_valid(row) LIMIT 3") if bad else []
    return Finding(rows=bad, of=count, examples=tuple(f"{line[:80]!r} in {file.name}" for (line,) in shown))


def _collapse(connection: Connection, importer: Importer) -> None:
    """Make one row of the rows of one event: each field of the first row that has it."""
    if importer.one_row_per is None:
        return
    key = quote(importer.one_row_per)
    others = [row[0] for row in rows_of(connection, "DESCRIBE raw") if row[0] != importer.one_row_per]
    firsts = [f"arg_min(NULLIF({quote(n)}, ''), rowid) AS {quote(n)}" for n in others]
    connection.execute(f"CREATE TABLE once AS SELECT {key}, {', '.join(firsts)} FROM raw GROUP BY {key}")
    connection.execute("DROP TABLE raw")
    connection.execute("ALTER TABLE once RENAME TO raw")


def _type(connection: Connection, importer: Importer, file: Path) -> int:
    """Make the table ``typed`` of ``raw``, with the text of each column beside it; returns how many rows ``raw`` has.

    Raises:
        EventLogError: an expression does not fit, or a file has times in seconds and in milliseconds.
    """
    written = [f"CAST(({over(sql)}) AS VARCHAR) AS {_text(name)}" for name, sql in _expressions(importer).items()]
    events = f" WHERE COALESCE(({over(importer.where)}), false)" if importer.where is not None else ""
    typed = {"user": f"NULLIF(TRIM({_text('user')}), '')", "event": f"NULLIF(TRIM({_text('event')}), '')"}
    with _fitting(file, importer):
        connection.execute(f"CREATE TABLE written AS SELECT {', '.join(written)} FROM raw{events}")
        for name, time in (("time", importer.time), ("arrived", importer.arrived)):
            if time is not None:
                typed[name] = _time(name, time, connection, file)
        typed |= {"id": f"NULLIF(TRIM({_text('id')}), '')"} if importer.id is not None else {}
        typed |= {name: _value(_text(name), column, importer) for name, column in importer.columns.items()}
        listed = ", ".join(f"{sql} AS {quote(name)}" for name, sql in typed.items())
        connection.execute(f"SET TimeZone = {text(importer.zone or 'UTC')}")
        connection.execute(f"CREATE TABLE typed AS SELECT *, {listed} FROM written")
        connection.execute("SET TimeZone = 'UTC'")
    return int(rows_of(connection, "SELECT count(*) FROM raw")[0][0])


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


def _judge(findings: dict[str, Finding]) -> None:
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


def _write(connection: Connection, importer: Importer, to: Path, marks: dict[str, str]) -> dict[str, int]:
    """Write the rows that are events of users; returns how many there are, and those left out by reason."""
    times = {"time": importer.time, "arrived": importer.arrived}
    names = [name for name in (*CANONICAL, *importer.columns) if name in _expressions(importer)]
    columns = [
        f"CAST(make_timestamp({quote(name)}) AS TIMESTAMPTZ) AS {quote(name)}" if name in times else quote(name)
        for name in names
    ]
    metadata = ", ".join(f"{quote(key)}: {text(value)}" for key, value in marks.items())
    connection.execute(
        f"COPY (SELECT {', '.join(columns)} FROM typed WHERE {_KEPT}) TO {text(str(to))} "
        f"(FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{metadata}}})"
    )
    counts = ", ".join(f"count(*) FILTER ({condition})" for condition in (_KEPT, *_DROPPED.values()))
    [found] = rows_of(connection, f"SELECT {counts} FROM typed")
    return dict(zip(("rows", *_DROPPED), found, strict=True))


_KEPT = '"user" IS NOT NULL AND event IS NOT NULL AND time IS NOT NULL'
_DROPPED = {
    "no user": '"user" IS NULL',
    "no event name": '"user" IS NOT NULL AND event IS NULL',
    "no time": '"user" IS NOT NULL AND event IS NOT NULL AND time IS NULL',
}
