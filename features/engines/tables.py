"""The files of a log as one table: how they are parsed, and of which types its columns are, for all files alike."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq

from features.engines.duckdb import ENGINE_ERRORS, Connection, connect, quote, reading, text
from features.engines.files import files_of, kind_of, partitions_of, shown, suffix_of
from features.engines.times import MISSING
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
        columns: the columns with DuckDB's types; empty until `typed` decides them.
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
        options = _dialect(connection, files, encoding) if kind == "csv" else ""
        tables = cls(files, kind, table, options)
        tables.attach(connection)
        return tables

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
        """Decide the types of the columns, for all files alike.

        Those of Parquet and DuckDB files are the files'. Of CSV files, columns are text, unless the definition's
        expressions use them: then they are numbers (DOUBLE), true or false, or times, where all their values are; what
        is empty in all files is a number where the definition needs one.

        Args:
            connection: a connection.
            used: the columns that expressions use.
            numbers: those of them whose values are added up.
            kept: types that were decided when the log was first read.
        """
        with reading(self.files):
            rows = connection.execute(f"DESCRIBE SELECT * FROM {self.whole}").fetchall()
        columns = {row[0]: row[1] for row in rows}
        if self.kind == "duckdb":
            views = connection.execute(
                "SELECT 1 FROM duckdb_views() WHERE database_name = 'source' AND view_name = ?", [self.table]
            ).fetchall()
            return replace(self, columns=columns, is_view=bool(views))
        if self.kind != "csv":
            return replace(self, columns=columns)
        asked = [name for name in columns if name in used and name not in kept]
        types, decided, written = _decide(connection, self, asked, numbers) if asked else ({}, {}, {})
        known = {name: dtype for name, dtype in kept.items() if name in columns and name in used}
        return replace(self, columns=columns | types | known, written=written, decided=decided | known)

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


def missing(sql: str) -> str:
    """SQL that says whether a text stands for nothing."""
    return f"lower(TRIM({sql})) IN ({', '.join(text(word) for word in MISSING)})"


def _dialect(connection: Connection, files: list[Path], encoding: str) -> str:
    """How the first file that holds something is parsed, and so all of them."""
    first = next((file for file in files if file.stat().st_size), files[0])
    options = f", header = true, all_varchar = true, encoding = {text(encoding)}"
    if suffix_of(first) == "tsv":
        return options + ", delim = '\t'"
    with reading([first]):
        [(delim, quoted, escape)] = connection.execute(
            f"SELECT Delimiter, Quote, Escape FROM sniff_csv({text(str(first))}, header = true, all_varchar = true, "
            f"encoding = {text(encoding)})"
        ).fetchall()
    if not first.stat().st_size or delim == "(empty)":
        return options
    quoted = '"' if quoted == "(empty)" else quoted  # a later file may quote what the first did not need to
    escape = quoted if escape == "(empty)" else escape
    return f"{options}, delim = {text(delim)}, quote = {text(quoted)}, escape = {text(escape)}"


def _decide(
    connection: Connection, tables: Tables, asked: list[str], numbers: Collection[str]
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The types of CSV columns by all their values; those that hold any; and of each a value that is not a number."""
    parts = []
    for name in asked:
        column = f"TRIM({quote(name)})"
        there = f"FILTER ({column} IS NOT NULL AND NOT {missing(column)})"
        number = f"(TRY_CAST({column} AS DOUBLE) IS NOT NULL)"
        # leading zeros, and what a number would round, are written for a reason
        exact = rf"(NOT regexp_matches({column}, '^[+-]?0\d') AND abs(TRY_CAST({column} AS DOUBLE)) < 9007199254740992)"
        parts += [
            f"count(*) {there}",
            f"count(*) FILTER ({number} AND NOT {missing(column)})",
            f"count(*) FILTER ({number} AND {exact} AND NOT {missing(column)})",
            f"count(*) FILTER (lower({column}) IN ('true', 'false'))",
            f"count(TRY_CAST({column} AS TIMESTAMP))",
            f"any_value({column}) FILTER (NOT {number} AND NOT {missing(column)})",
        ]
    with reading(tables.files):
        [found] = connection.execute(f"SELECT {', '.join(parts)} FROM {tables.whole}").fetchall()
    types: dict[str, str] = {}
    decided: dict[str, str] = {}
    written: dict[str, str] = {}
    for i, name in enumerate(asked):
        values, parsed, exact_ones, booleans, times, other = found[6 * i : 6 * i + 6]
        types[name] = _type(values, parsed, exact_ones, booleans, times, added_up=name in numbers)
        if values:
            decided[name] = types[name]
        if other is not None:
            written[name] = other
    return types, decided, written


def _type(values: int, parsed: int, exact: int, booleans: int, times: int, *, added_up: bool) -> str:
    if not values:
        return "DOUBLE" if added_up else "VARCHAR"
    if added_up and 2 * parsed > values:  # what is not a number is counted, and above a share refused
        return "DOUBLE"
    if exact == values:
        return "DOUBLE"
    if booleans == values:
        return "BOOLEAN"
    return "TIMESTAMP" if times == values else "VARCHAR"
