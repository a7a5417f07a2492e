"""Searching a folder for users: each file by what it is, whichever program wrote it, so that no place can be forgotten.

Tables of users (Parquet, SQLite, CSV, JSON lines) lose their rows. Any other file that names a user is not ours to
change; it is found and reported.
"""

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import polars as pl
import pyarrow as pa

from features.events.write import rows_of_users
from features.system.files.durable import replacing
from features.system.mentions import Mentions
from serving.upkeep import sqlite_files

#: columns that name users in our own files
USER_COLUMNS = ("user", "user_id", "alias")

#: what jobs leave behind that were killed
_FOLDER_ABOVE = re.compile(r"tmp.*|server-\d+")  # the second had metrics of older versions, which named users
_FOLDER = re.compile(r".*\.(new|old|everyone|beside)|scratch|staging")
_FILE = re.compile(r".*\.(parquet|json|jsonl|ndjson|csv|tsv)(\.\d+)?\.new|traits\.new")

_TEXT_TABLES = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".ndjson": ""}
_OF_SQLITE = ("-wal", "-shm", "-journal")
_CHUNK = 1 << 24


class Search:
    """Looks for users in all files of a folder.

    Args:
        folder: the folder.
        users: whom.
        columns: what the definition calls users in tables, besides `USER_COLUMNS`.
        apart: files that are not looked at, as patterns: the log's own, and those that are asked otherwise.
    """

    def __init__(self, folder: Path, users: Sequence[str], columns: Collection[str], apart: Collection[Path]) -> None:
        self._folder, self._users = folder, list(users)
        self._columns, self._mentions = {*USER_COLUMNS, *columns}, Mentions(users)
        self._apart = [str(path.absolute()) for path in apart]

    def files(self) -> Iterator[Path]:
        """All files that are looked at; links are not followed."""
        for parent, folders, names in os.walk(self._folder):
            folders.sort()
            for file in (Path(parent, name) for name in sorted(names)):
                if not file.is_symlink() and file.is_file() and not any(file.match(one) for one in self._apart):
                    yield file

    @cached_property
    def sqlite(self) -> list[Path]:
        """The SQLite databases of the folder."""
        return [file for file in sorted(self._folder.rglob("*")) if file.is_file() and sqlite_files.is_sqlite(file)]

    def remove(self) -> dict[str, int]:
        """Remove the rows of users from all tables; returns how many, by place."""
        return self._by_place(lambda file: self._rows(file, remove=True))

    def look(self) -> dict[str, int]:
        """How many rows of users there are, and files of other kinds that name one, by place."""
        return self._by_place(lambda file: self._rows(file, remove=False) + self._mentioned(file))

    def remove_unfinished(self) -> int:
        """Remove what killed jobs have left; no job may run. Returns how many files that were."""
        removed = 0
        for parent, folders, names in os.walk(self._folder):
            for name in [name for name in folders if is_unfinished(Path(parent, name).relative_to(self._folder))]:
                removed += sum(path.is_file() for path in Path(parent, name).rglob("*"))
                shutil.rmtree(Path(parent, name))
                folders.remove(name)
            for name in names:
                if _FILE.fullmatch(name):
                    Path(parent, name).unlink()
                    removed += 1
        return removed

    def _by_place(self, count: Callable[[Path], int]) -> dict[str, int]:
        found: dict[str, int] = {}
        for file in self.files():
            place = place_of(file.relative_to(self._folder))
            found[place] = found.get(place, 0) + count(file)
        return {place: rows for place, rows in found.items() if rows}

    def _rows(self, file: Path, *, remove: bool) -> int:
        """Rows of users in a table that has a column for them; 0 for other files."""
        if file in self.sqlite:
            return sqlite_files.table_rows(file, self._users, self._columns, remove=remove)
        named = self._named(file)
        if file.suffix == ".parquet":
            try:
                return sum(rows_of_users(file, name, self._users, remove=remove) for name in named)
            except (pl.exceptions.PolarsError, pa.ArrowException, OSError):
                return 0 if remove else 1  # a damaged table may hold anybody
        return self._text_rows(file, named, remove=remove) if named else 0

    def _text_rows(self, file: Path, named: list[str], *, remove: bool) -> int:
        frame = _read_text(file)
        theirs = pl.any_horizontal(pl.col(name).cast(pl.String).is_in(self._users) for name in named)
        found = len(frame.filter(theirs))
        if found and remove:
            rest, separator = frame.filter(~theirs.fill_null(value=False)), _TEXT_TABLES[file.suffix]
            with replacing(file) as fresh:
                rest.write_csv(fresh, separator=separator) if separator else rest.write_ndjson(fresh)
        return found

    def _mentioned(self, file: Path) -> int:
        """Whether a file, or how many rows of it, name a user where no column says that they are of one."""
        if not self._mentions or file.name.endswith(_OF_SQLITE) or self._named(file):
            return 0
        if file in self.sqlite:
            return sqlite_files.cells(file, self._mentions, self._columns)
        if file.suffix == ".parquet" and (schema := _schema(file)):
            text = [name for name, dtype in schema.items() if dtype != pl.Binary]
            word = pl.struct(text).struct.json_encode().str.contains(self._mentions.pattern)
            rows = pl.scan_parquet(file, hive_partitioning=False).filter(word) if text else pl.LazyFrame()
            return int(rows.select(pl.len()).collect().item())
        longest, rest = max(map(len, self._mentions.texts)) + 2, b""
        with file.open("rb") as opened:
            while some := opened.read(_CHUNK):
                if self._mentions.in_bytes(rest + some):
                    return 1
                rest = some[-longest:]
        return 0

    def _named(self, file: Path) -> list[str]:
        """The columns of a file that name users; none where it is not a table, or is not what its name says."""
        if file.suffix == ".parquet":
            return [name for name in _schema(file) if name in self._columns]
        if file.suffix in _TEXT_TABLES:
            try:
                return [name for name in _read_text(file).columns if name in self._columns]
            except (pl.exceptions.PolarsError, OSError):
                return []
        return []


def is_unfinished(folder: Path) -> bool:
    """Whether a job is writing a folder, or was killed while it did; its path is below that of the definition."""
    above = len(folder.parts) == 1 and _FOLDER_ABOVE.fullmatch(folder.name) is not None
    return above or _FOLDER.fullmatch(folder.name) is not None


def _schema(file: Path) -> dict[str, pl.DataType]:
    """The columns of a Parquet file; none where it is not whole."""
    try:
        return dict(pl.read_parquet_schema(file))
    except (pl.exceptions.PolarsError, OSError):
        return {}


def _read_text(file: Path) -> pl.DataFrame:
    separator = _TEXT_TABLES[file.suffix]
    return pl.read_csv(file, separator=separator, infer_schema=False) if separator else pl.read_ndjson(file)


def place_of(file: Path) -> str:
    """What a file of a definition's folder is called in reports; its name where it is none we know."""
    first, traits = file.parts[0], file.name.startswith("traits")
    if first == "live":
        return "compacted traits" if traits else "compacted events"
    if first == "profiles" or file.name == "traits.parquet":
        return "kept traits" if traits else "kept profiles"
    known = {"events": "event store", "online.db": "online store"}
    return known.get(first, first if first in ("snapshots", "scores", "population", "audiences") else str(file))
