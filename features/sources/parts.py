"""The files that were fetched from a source: each whole or not there, with what it was made of."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.definition.schema import Definition
from features.engines import arrow
from features.engines import duckdb as engine
from features.errors import EventLogError, PropensityError
from features.events.tombstones import Tombstones
from features.reading.places import resolve
from features.sources.mapping import Mapping
from features.system.files.durable import flush, new_folder, replacing

_MARKS = "propensity.fetched"

#: rows that are held at once
BATCH = 100_000


@dataclass(frozen=True, slots=True)
class Marks:
    """What a fetched file was made of.

    Attributes:
        of: what at the source: a file, or rows by their arrival.
        content: tells whether that has changed.
        mapping: tells with which columns and conditions it was fetched.
        through: the newest arrival in it, ISO 8601; empty where the log has no arrivals.
    """

    of: str
    content: str
    mapping: str
    through: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Those of a file.

        Raises:
            EventLogError: it is damaged, or was not fetched.
        """
        try:
            kept = (pq.read_metadata(path).metadata or {}).get(_MARKS.encode())
        except (OSError, pa.ArrowException) as error:
            raise EventLogError(f"{path} cannot be read: {error}.", fix="remove it: it is fetched again") from error
        if kept is None:
            raise EventLogError(f"{path} was not fetched from a source.", fix="name a folder of its own in events.path")
        try:
            return cls(**json.loads(kept))
        except (ValueError, TypeError) as error:
            raise EventLogError(f"{path} is damaged: {error}.", fix="remove it: it is fetched again") from error


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of a source.

    Attributes:
        source: its name.
        rows: how many were added.
        undated: rows that have no arrival, and were left out.
        ahead: rows whose arrival lies in the future, and that are fetched when it has come.
        removed: files of ours that were removed, because the source has them no more.
    """

    source: str
    rows: int
    undated: int = 0
    ahead: int = 0
    removed: int = 0


class Parts:
    """The files of one source in the folder of the log.

    Args:
        folder: the folder; it is made.
        source: the source's name.
        mapping: what is fetched of its rows.
        erased: whose rows are left out.

    Raises:
        EventLogError: a file is damaged.
    """

    def __init__(self, folder: Path, source: str, mapping: Mapping, erased: Tombstones) -> None:
        new_folder(folder)
        self.folder, self.source, self.mapping = folder, source, mapping
        self._erased = erased
        self.marks = {path: Marks.read(path) for path in sorted(folder.glob(f"{source}-*.parquet"))}

    def of(self, what: str) -> Path | None:
        """The file that was made of something."""
        return next((path for path, marks in self.marks.items() if marks.of == what), None)

    def is_current(self, what: str, content: str) -> bool:
        """Whether there is a file that was made of this, as it is, as it is fetched now."""
        path = self.of(what)
        return path is not None and (self.marks[path].content, self.marks[path].mapping) == (
            content,
            self.mapping.digest,
        )

    def write(
        self,
        rows: pa.RecordBatchReader,
        of: str,
        content: str = "",
        *,
        known: Sequence[Path] = (),
        mapped: bool,
    ) -> int:
        """Write some rows as one file, in the place of the one that was made of the same before.

        Args:
            rows: as they are at the source.
            of: what they are.
            content: tells whether that has changed; without it, their own values do, and no file is made of no rows.
            known: files whose rows are left out, each once for each time that it is there.
            mapped: the rows have the log's columns already.

        Returns:
            How many rows were written.

        Raises:
            EventLogError: a column is missing, or the rows cannot be read.
        """
        target = self.of(of) or self.folder / f"{self.source}-{_name(of)}.parquet"
        with TemporaryDirectory(dir=self.folder, prefix=".fetching-") as scratch, engine.connect() as connection:
            fresh = Path(scratch, "rows.parquet")
            with _passed_on(rows) as passed, engine.reading([target]):
                arrow.spill(connection, Path(scratch))
                sql = self.mapping.normal(connection, passed, mapped=mapped)
                sql = arrow.without(connection, sql, known) if known else sql
                fetched = arrow.batches(connection, sql, BATCH, in_order=True)
                count, marks = self._written(self._without_erased(fetched), fetched.schema, fresh, of, content)
            if marks == self.marks.get(target) or not (count or content or target in self.marks):
                return 0
            with replacing(target) as place:
                fresh.rename(place)
        self.marks[target] = marks
        return count

    def remove(self, path: Path) -> None:
        """Remove a file, for good."""
        path.unlink()
        flush(self.folder)
        del self.marks[path]

    def _without_erased(self, fetched: pa.RecordBatchReader) -> Iterator[pa.Table]:
        user = self.mapping.roles.user
        for batch in fetched:
            table = pa.Table.from_batches([batch])
            if self._erased:
                table = table.filter(pa.array(~self._erased.flags(table[user].cast(pa.string()).fill_null(""))))
            yield table

    def _written(
        self, tables: Iterator[pa.Table], schema: pa.Schema, to: Path, of: str, content: str
    ) -> tuple[int, Marks]:
        """Write tables; returns the number of rows, and the marks that were written with them."""
        arrived, count, values, newest = self.mapping.roles.arrived, 0, 0, None
        with pq.ParquetWriter(to, schema, compression="zstd") as file:
            for table in tables:
                file.write_table(table)
                count += len(table)
                values = (values + int(pl.DataFrame(table).hash_rows().sum() or 0)) % 2**64
                if arrived is not None and arrived in schema.names:
                    newest = max((x for x in (newest, pc.max(table[arrived]).as_py()) if x is not None), default=None)
            through = newest.isoformat() if isinstance(newest, date) else ""
            marks = Marks(of, content or f"{count}-{values:x}", self.mapping.digest, through)
            file.add_key_value_metadata({_MARKS: json.dumps(asdict(marks))})
        return count, marks


@contextmanager
def _passed_on(rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatchReader]:
    """Pass rows on to an engine; an error at their source comes out as it is, not as the engine's."""
    wrong: list[PropensityError] = []

    def passed() -> Iterator[pa.RecordBatch]:
        try:
            yield from rows
        except PropensityError as error:
            wrong.append(error)
            raise

    try:
        yield pa.RecordBatchReader.from_batches(rows.schema, passed())
    except EventLogError:
        if wrong:
            raise wrong[0] from None
        raise


def _name(of: str) -> str:
    """A file name for what a file is made of, of letters that every file system takes."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", of.rsplit("/", 1)[-1].split(".")[0])[:60]
    return f"{stem}-{hashlib.sha256(of.encode()).hexdigest()[:8]}"


def fetched_files(definition: Definition) -> list[Path]:
    """The files that were fetched from the sources of a definition."""
    if not definition.events.sources:
        return []
    [folder] = resolve(definition, definition.events.path)
    return sorted(folder.glob("*.parquet"))
