"""The files of a log as one table: how they are parsed, and of which types its columns are, for all files alike."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq

from features.engines.csv_files import decide, dialect
from features.engines.duckdb import ENGINE_ERRORS, Connection, connect, quote, reading, rows_of, text
from features.engines.files import files_of, kind_of, partitions_of, shown, suffix_of
from features.errors import EventLogError

#: the columns of a CSV file as they are written stand beside the typed ones, under these names
RAW = "\x01"


@dataclass(frozen=True)
class Tables:
    """Files that are read as one table.

    Attributes:
        files: the files, of one kind.
        kind: ``parquet``, ``csv`` or ``duckdb``.
        table: the table, of a DuckDB file.
        options: how CSV files are parsed, for all of them alike.
        columns: the columns with DuckDB's types.
        written: of CSV columns that expressions use, a value that is not a number, where there is one.
        decided: types that values have decided, and which later files obey.
        is_view: the table is a view: what it reads changes without the file that holds it.
        computed: columns that are expressions over the others, which are read as they are written, by their names.
    """

    files: list[Path]
    kind: str
    table: str | None
    options: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    decided: dict[str, str] = field(default_factory=dict)
    is_view: bool = False
    computed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, connection: Connection, paths: list[Path], table: str | None, encoding: str) -> "Tables":
        """Find the files that paths name, and how they are parsed.

        Raises:
            EventLogError: there are none, they are of different kinds, or a table must be named.
        """
        files = files_of(paths)
        kind = kind_of(files)
        if kind == "duckdb" and (table is None or len(files) != 1):
            there = f": {', '.join(tables_of(files[0])) or 'it has none'}" if len(files) == 1 else ""
            raise EventLogError(f"{shown(files)} is a DuckDB file.",
                                fix=f"name one file, and the table in 'events.table'{there}")  # fmt: skip
        options = dialect(connection, files, encoding) if kind == "csv" else ""
        tables = cls(files, kind, table, options)
        tables.attach(connection)
        return tables._described(connection)

    def _described(self, connection: Connection) -> "Tables":
        """The table with its columns, of the types that its files say; those of CSV files are text."""
        with reading(self.files):
            columns = {row[0]: row[1] for row in rows_of(connection, f"DESCRIBE SELECT * FROM {self.whole}")}
        views = f"SELECT 1 FROM duckdb_views() WHERE database_name = 'source' AND view_name = {text(self.table or '')}"
        is_view = self.kind == "duckdb" and bool(rows_of(connection, views))
        return replace(self, columns=columns, is_view=is_view)

    def attach(self, connection: Connection) -> None:
        """Make the files readable on a connection."""
        if self.kind == "duckdb":
            with reading(self.files):
                connection.execute(f"ATTACH IF NOT EXISTS {text(str(self.files[0]))} AS source (READ_ONLY)")

    def sql(self, files: list[Path]) -> str:
        """SQL that names some of the files; all columns of CSV files are text."""
        if self.kind == "duckdb":
            return f"source.{quote(self.table or '')}"
        listed = "[" + ", ".join(text(str(f)) for f in files) + "]"
        hive = "true, hive_types_autocast = false" if partitions_of(files[0]) else "false"
        if self.kind == "parquet":
            return f"read_parquet({listed}, union_by_name = true, hive_partitioning = {hive})"
        return f"read_csv({listed}, union_by_name = true, hive_partitioning = {hive}{self.options})"

    @property
    def whole(self) -> str:
        """SQL that names all files that hold something; an empty one says nothing of the types of its columns."""
        files = [file for file in self.files if self.kind == "duckdb" or _holds_rows(file)]
        return self._with_computed(self.sql(files or self.files))

    def computing(self, connection: Connection, computed: Mapping[str, str]) -> "Tables":
        """The table with more columns.

        Args:
            connection: a connection.
            computed: SQL over the columns, by the names of the new ones.

        Raises:
            EventLogError: one cannot be computed of columns of these types.
        """
        if not computed:
            return self
        tables, types = replace(self, computed=dict(computed)), dict(self.columns)
        empty = ", ".join(f"NULL::{dtype} AS {quote(name)}" for name, dtype in self.columns.items())
        for name, sql in computed.items():
            try:
                [row] = connection.execute(f"DESCRIBE SELECT {sql} AS x FROM (SELECT {empty})").fetchall()
            except ENGINE_ERRORS as error:
                reason = str(error).strip().splitlines()[0]
                raise EventLogError(f"{name} cannot be computed: {reason}.", fix="compare it with the log") from error
            types[name] = row[1]
        return replace(tables, columns=types)

    def _with_computed(self, source: str) -> str:
        if not self.computed:
            return source
        more = ", ".join(f"{sql} AS {quote(name)}" for name, sql in self.computed.items())
        return f"(SELECT *, {more} FROM {source})"

    def typed(
        self, connection: Connection, *, used: Collection[str], numbers: Collection[str], kept: Mapping[str, str]
    ) -> "Tables":
        """Decide the types of the columns of CSV files, for all of them alike; other files say theirs.

        A column is text, unless the definition's expressions use it: then it is a number (DOUBLE), true or false, or a
        time, where all its values are; what is empty in all files is a number where the definition needs one.

        Args:
            connection: a connection.
            used: the columns that expressions use.
            numbers: those of them whose values are added up.
            kept: types that were decided when the log was first read.
        """
        if self.kind != "csv":
            return self
        asked = [name for name in self.columns if name in used and name not in kept]
        with reading(self.files):
            types, decided, written = decide(connection, self.whole, asked, numbers)
        known = {name: dtype for name, dtype in kept.items() if name in self.columns and name in used}
        return replace(self, columns=self.columns | types | known, written=written, decided=decided | known)

    def one(self, connection: Connection, file: Path, needed: Iterable[str], user: str = "") -> str:
        """SQL that reads one file as if it had all columns, of their types; what it lacks is null.

        Args:
            connection: a connection.
            file: the file.
            needed: columns that it must have.
            user: the column of user ids; a whole number is its digits, also where a program wrote it as ``42.0``.

        Raises:
            EventLogError: it lacks a column that is needed.
        """
        source = self.sql([file])
        self.attach(connection)
        with reading([file]):
            there = {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
        if self.kind != "duckdb" and not _holds_rows(file):
            there = {}
        for name in needed if there else ():
            if name not in there:
                raise EventLogError(f"{file} has no column {name!r}.", fix=f"its columns are {', '.join(there)}")
        columns = {name: dtype for name, dtype in self.columns.items() if name not in self.computed}
        if there == columns:
            return self._with_computed(source)
        cast = "TRY_CAST" if self.kind == "csv" else "CAST"
        named = [
            f"{cast}({quote(name) if name in there else 'NULL'} AS {dtype}) AS {quote(name)}"
            for name, dtype in columns.items()
        ]
        if self.kind == "csv":
            if user in there:
                named[list(columns).index(user)] = _whole_number(quote(user))
            named += [f"{quote(n)} AS {quote(RAW + n)}" for n in self.raw if n in there]
            named += [f"NULL::VARCHAR AS {quote(RAW + n)}" for n in self.raw if n not in there]
        return self._with_computed(f"(SELECT {', '.join(named)} FROM {source})")

    @property
    def raw(self) -> list[str]:
        """Columns of CSV files that are cast, so that what is written may be lost."""
        if self.kind != "csv":
            return []
        return [name for name, dtype in self.columns.items() if dtype != "VARCHAR" and name not in self.computed]


def tables_of(file: Path) -> list[str]:
    """The tables and views of a DuckDB file.

    Raises:
        EventLogError: it is none.
    """
    with connect() as connection, reading([file]):
        connection.execute(f"ATTACH {text(str(file))} AS source (READ_ONLY)")
        rows = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_catalog = 'source' "
            "AND table_schema = 'main' ORDER BY 1"
        ).fetchall()
    return [str(name) for (name,) in rows]


def _holds_rows(file: Path) -> bool:
    if suffix_of(file) in ("parquet", "pq"):
        with reading([file]):
            return bool(pq.read_metadata(file).num_rows)
    return bool(file.stat().st_size)


def _whole_number(name: str) -> str:
    digits = rf"regexp_replace({name}, '^(\d+)\.0$', '\1')"
    return f"CASE WHEN ends_with({name}, '.0') THEN {digits} ELSE {name} END AS {name}"
