"""Which columns of a source's rows the log has, and how they are written there."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
from sqlglot import ErrorLevel, exp
from sqlglot.errors import SqlglotError

from features.definition.schema import Definition
from features.definition.sections.log.event_log import EventColumns
from features.definition.sections.log.sources import FilesSource, Source
from features.engines import duckdb as engine
from features.engines.arrow import registered, with_texts
from features.engines.duckdb import quote
from features.errors import EventLogError
from features.expressions.dialects import written
from features.expressions.expression import Expression
from features.expressions.parse import parse_expression
from features.imports.importer import Importer, load
from features.reading.columns import computed, places, roots, used_columns

#: the name under which rows that are on their way are a table
_ROWS = "fetched"


@dataclass(frozen=True, slots=True)
class Mapping:
    """What is fetched of the rows of a source.

    Attributes:
        place: where it stands in the definition.
        given: the expressions of the columns, over those of the source; empty where they have the log's names.
        where: which rows.
        names: the columns that the definition uses.
        roles: which of them hold the user, the event and so on.
        importer: for files that are read by one.
        everything: all columns there are, under their names.
    """

    place: str
    given: dict[str, Expression]
    where: Expression | None
    names: tuple[str, ...]
    roles: EventColumns
    importer: Importer | None = None
    everything: bool = False

    @classmethod
    def of(cls, definition: Definition, name: str, source: Source) -> Self:
        """The mapping of a source.

        Raises:
            DefinitionError: an expression is none, or is not over columns alone.
            EventLogError: there is no such importer.
        """
        place, rules = f"events.sources.{name}", definition.events.columns
        for column, sql in source.columns.items():
            parse_expression(sql, key=f"{place}.columns.{column}")
        if source.where is not None:
            parse_expression(source.where, key=f"{place}.where")
        names = tuple(sorted(used_columns(definition)))
        importer = _importer(source, definition.folder)
        return cls(place, dict(source.columns), source.where, names, rules, importer)

    @classmethod
    def whole(cls, name: str, source: Source, folder: Path) -> Self:
        """All columns of a source of which nothing is known yet.

        Args:
            name: the source's name.
            source: the source.
            folder: where relative paths start.

        Raises:
            EventLogError: there is no such importer.
        """
        unknown, importer = EventColumns(user="", event="", time=""), _importer(source, folder)
        return cls(f"events.sources.{name}", {}, None, (), unknown, importer, everything=True)

    @property
    def digest(self) -> str:
        """Changes when what is fetched of a row does."""
        parts = [f"{name}={sql}" for name, sql in (self.given or {name: Expression() for name in self.names}).items()]
        importer = self.importer.model_dump_json() if self.importer is not None else ""
        rest = [self.roles.model_dump_json(), str(self.where or ""), importer, "*" * self.everything]
        content = "\n".join([*parts, *rest])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def expressions(self, there: Collection[str]) -> dict[str, Expression]:
        """The expression of each column of the log.

        Args:
            there: the source's columns.

        Raises:
            EventLogError: one that is needed is not there.
        """
        if self.everything:
            return {name: Expression(quote(name)) for name in there}
        needed = [self.roles.user, self.roles.event, self.roles.time]
        found = self.given or {name: Expression(quote(name)) for name in self.names if name in there}
        if not self.given:
            found |= computed(places(self.roles), there)
        if missing := [name for name in needed if name not in found]:
            listed = ", ".join(sorted(there)) if not self.given else ", ".join(self.given)
            raise EventLogError(
                f"{self.place} has no column {missing[0]!r}.",
                fix=f"say what it is, as in columns: {{{missing[0]}: …}}; there are {listed}",
            )
        sqls = [*found.values(), *([self.where] if self.where is not None else [])]
        for sql in sqls:
            if unknown := sorted(roots(sql) - set(there)):
                raise EventLogError(
                    f"{self.place} uses {unknown[0]!r}, which the source does not have.",
                    fix=f"its columns are {', '.join(sorted(there))}",
                )
        return found

    def needs(self, there: Collection[str]) -> list[str]:
        """The source's columns that must be read, in their order."""
        sqls = [*self.expressions(there).values(), *([self.where] if self.where is not None else [])]
        used = set[str]().union(*(roots(sql) for sql in sqls))
        return [name for name in there if name in used]

    def types(self, raw: pa.Schema) -> pa.Schema:
        """The types in which a database is asked for the log's columns: plain ones that Parquet has, too.

        Args:
            raw: the columns of its table.

        Raises:
            EventLogError: a column that is needed is not there.
        """
        listed = ", ".join(f"{written(sql, 'duckdb')} AS {quote(n)}" for n, sql in self.expressions(raw.names).items())
        ids = (self.roles.user, self.roles.event, self.roles.id)
        with engine.connect() as connection:
            source = registered(connection, _ROWS, raw.empty_table())
            found = engine.rows_of(connection, f"DESCRIBE SELECT {listed} FROM {source}")
        return pa.schema([(name, _plain(dtype, text=name in ids)) for name, dtype, *_ in found])

    def select(self, schema: pa.Schema, there: Collection[str], table: exp.Expression, dialect: str) -> exp.Select:
        """The query for all rows, for another database to run.

        Args:
            schema: the log's columns, of the types in which they are asked for.
            there: the table's columns.
            table: the table.
            dialect: whose SQL it will be written in.

        Raises:
            EventLogError: an expression has no translation.
        """
        columns = []
        for name, sql in self.expressions(there).items():
            cast = _CASTS.get(
                schema.field(name).type
            )  # others come as they are: a cast may take the fractions of seconds
            asked = sql.tree.copy() if cast is None else exp.cast(sql.tree.copy(), cast)
            columns.append(exp.alias_(asked, name, quoted=True))
        query = exp.select(*columns).from_(table)
        if self.where is not None:
            query = query.where(self.where.tree.copy())
        try:
            query.sql(dialect=dialect, unsupported_level=ErrorLevel.RAISE)
        except SqlglotError as error:
            raise EventLogError(
                f"{self.place} cannot be translated into the SQL of {dialect}: {error}.", fix="use simpler expressions"
            ) from error
        return exp.select("*").from_(query.subquery("asked"))

    def normal(self, connection: engine.Connection, rows: pa.RecordBatchReader, *, mapped: bool) -> str:
        """SQL of rows as the log has them: ids are text in their normal form.

        Args:
            connection: a connection, on which the rows can be read once.
            rows: the source's rows.
            mapped: they have the log's columns already.
        """
        there = rows.schema.names
        if mapped:
            inner = registered(connection, _ROWS, rows)
        else:
            listed = ", ".join(f"{written(sql, 'duckdb')} AS {quote(n)}" for n, sql in self.expressions(there).items())
            where = f" WHERE {written(self.where, 'duckdb')}" if self.where is not None else ""
            inner = f"(SELECT {listed} FROM {registered(connection, _ROWS, rows)}{where})"
        return with_texts(connection, inner, self.roles.user, [self.roles.event, self.roles.id or ""])


def _importer(source: Source, folder: Path) -> Importer | None:
    like = source.like if isinstance(source, FilesSource) else None
    return load(like, folder) if like is not None else None


def _plain(dtype: str, *, text: bool) -> pa.DataType:
    """The type in which a column is asked for; ids are text, unless they are broken numbers, which text would hide."""
    if dtype in ("DOUBLE", "FLOAT"):
        return pa.float64()
    if text:
        return pa.string()
    if dtype.startswith("DECIMAL"):
        return pa.float64()
    if dtype.endswith(("INT", "INTEGER")):
        return pa.int64()
    if dtype.startswith("TIMESTAMP"):
        return pa.timestamp("us", tz="UTC" if "TIME ZONE" in dtype else None)
    return {"BOOLEAN": pa.bool_(), "DATE": pa.date32()}.get(dtype, pa.string())


#: what a database is asked to make of values, in DuckDB's SQL
_CASTS = {pa.float64(): "double", pa.string(): "text"}
