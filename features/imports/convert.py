"""One exported file made into one Parquet file of the log: whole or not at all, with what became of its rows."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from features.engines.arrow import spill
from features.engines.duckdb import Connection, connect, quote, reading, rows_of, text
from features.errors import EventLogError
from features.imports.archives import members, relation
from features.imports.fields import Fields, of_json, of_table
from features.imports.importer import Importer
from features.imports.typed import judge, typed
from features.reading.findings import Finding, words
from features.system.files.durable import replacing


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
    def warnings(self) -> list[str]:
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
        spill(connection, Path(scratch))
        fields = Fields(importer.expressions)
        _gather(connection, file, importer, fields, Path(scratch))
        findings = _broken(connection, file)
        dropped = _collapse(connection, importer, fields)
        [(rows,)] = rows_of(connection, "SELECT count(*) FROM raw")
        findings |= typed(connection, importer, fields, file)
        judge(findings)
        with replacing(to) as fresh:
            counts = _write(connection, importer, fresh, marks)
    kept = counts.pop("rows")
    dropped |= {"not an event": rows - kept - sum(counts.values()), **counts}
    return Converted(file, kept, {reason: n for reason, n in dropped.items() if n}, findings)


def _gather(connection: Connection, exported: Path, importer: Importer, fields: Fields, scratch: Path) -> None:
    """Read the fields of all rows as text into the table ``raw``, and lines that are not JSON as ``broken``."""
    columns = ", ".join(f"{column} VARCHAR" for column in fields.columns.values())
    connection.execute(f"CREATE TABLE raw ({columns}, broken VARCHAR)")
    for file in members(exported, scratch / "files", importer):
        rows = relation(connection, file, importer, scratch)
        if rows.types:
            values = [*(of_table(path, rows.types, importer.lists) for path in fields.paths.values()), "NULL"]
            if all(value.startswith("NULL") for value in values):
                fix = f"its columns are {', '.join(rows.types)}: is it an export of {importer.title}?"
                raise EventLogError(f"{file.name} has none of the columns that the importer reads.", fix=fix)
        else:
            values = [*(of_json("row", path, importer.lists) for path in fields.paths.values()), "broken"]
        with reading([file]):
            connection.execute(f"INSERT INTO raw SELECT {', '.join(values)} FROM {rows.sql}")


def _broken(connection: Connection, file: Path) -> dict[str, Finding]:
    """Take lines that are not JSON out of ``raw``; returns what they were."""
    [(rows, bad)] = rows_of(connection, "SELECT count(*), count(broken) FROM raw")
    if not bad:
        return {}
    lines = rows_of(connection, "SELECT broken FROM raw WHERE broken IS NOT NULL LIMIT 3")
    connection.execute("DELETE FROM raw WHERE broken IS NOT NULL")
    examples = tuple(f"{line[:80]!r} in {file.name}" for (line,) in lines)
    return {"line of JSON": Finding(rows=bad, of=rows, examples=examples)}


def _collapse(connection: Connection, importer: Importer, fields: Fields) -> dict[str, int]:
    """Make one row of the rows of one event: each field of the first row that has it; returns rows of no event."""
    if importer.one_row_per is None:
        return {}
    key = fields.over(importer.one_row_per)
    others = (f"arg_min(NULLIF({c}, ''), rowid) AS {c}" for c in fields.columns.values() if c != key)
    [(of_none,)] = rows_of(connection, f"SELECT count(*) FROM raw WHERE {key} IS NULL OR TRIM({key}) = ''")
    connection.execute(
        f"CREATE TABLE once AS SELECT {key}, {', '.join(others)} FROM raw WHERE TRIM({key}) <> '' GROUP BY {key}"
    )
    connection.execute("DROP TABLE raw")
    connection.execute("ALTER TABLE once RENAME TO raw")
    return {f"no {importer.one_row_per}": of_none}


def _write(connection: Connection, importer: Importer, to: Path, marks: dict[str, str]) -> dict[str, int]:
    """Write the rows that are events of users; returns how many there are, and those left out by reason."""
    names = [*importer.canonical, *importer.columns]
    columns = [
        f"CAST(make_timestamp({quote(name)}) AS TIMESTAMPTZ) AS {quote(name)}"
        if name in ("time", "arrived")
        else quote(name)
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
