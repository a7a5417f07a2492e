"""What an importer declares: which fields of a tool's export hold the user, the event, its times and its numbers."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from features.definition.sections.base import Name, Strict
from features.engines.times import Unit
from features.errors import EventLogError, shown

#: the columns that every import has
CANONICAL = ("user", "event", "time", "arrived", "id")


def _fields(sql: str) -> str:
    """Refuse what is not an expression over the fields of a row."""
    try:
        tree = parse_one(sql, read="duckdb")
    except SqlglotError as error:
        quotes = "double quotes belong around a name that is a word of SQL or holds a space"
        raise ValueError(f"{shown(sql)} cannot be parsed; {quotes}") from error
    if tree.find(exp.Query, exp.Command, exp.AggFunc, exp.Window) is not None:
        raise ValueError(f"{shown(sql)} is not an expression over the fields of a row")
    return sql


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is not a time zone; write one as Europe/Berlin or America/New_York")
    return name


FieldSql = Annotated[str, Field(min_length=1), AfterValidator(_fields)]


class Time(Strict):
    """How a time is read: ISO 8601 unless a unit or a format is stated.

    Attributes:
        sql: an expression over the fields.
        unit: of numbers since 1970; ``s_or_ms`` decides by their size, and refuses a file that has both.
        format: a strptime format, or a list of them that are tried in order, ``iso`` among them.
    """

    sql: FieldSql
    unit: Unit | Literal["s_or_ms"] | None = None
    format: str | list[str] = Field(default_factory=list)

    @property
    def formats(self) -> list[str]:
        """The stated formats, in order."""
        return [self.format] if isinstance(self.format, str) else self.format

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {"sql": value} if isinstance(value, str) else value


class Column(Strict):
    """A further column.

    Attributes:
        sql: an expression over the fields.
        kind: what its values are; those that are not are counted, and above a share of 5 % refused.
    """

    sql: FieldSql
    kind: Literal["text", "number", "truth"] = "text"

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {"sql": value} if isinstance(value, str) else value


class Importer(Strict):
    """A declared mapping from a tool's export to an event log.

    Fields are named as they are in the export, ``a.b`` is the field ``b`` inside of ``a``; what a row does not have is
    null. All fields are text. Expressions are DuckDB's SQL.

    Attributes:
        title: the tool and the kind of export.
        user: who did it; rows without are left out and counted.
        event: what they did.
        time: when.
        arrived: when the tool received it.
        id: what tells the event from all others.
        where: which rows are events; others are left out and counted.
        columns: further columns.
        lists: fields that are lists of a ``key`` and a ``value``, or several typed ones: ``a.b`` is the value of ``b``.
        one_row_per: a field that the rows of one event share, as the lines of an order do; each other field is that of
            the first row that has it.
        only: patterns of the names of files that are read, in archives, too; all of them when empty.
        skip: patterns of file names that are not read.
        headers: the file beside the rows, in their archive, that names their columns.
        zone: the time zone of times that do not say their offset; without it they are UTC.
        decimal: the decimal mark of numbers; with a comma, points are between thousands.
        encoding: of CSV files.
    """

    title: str
    user: FieldSql
    event: FieldSql
    time: Time
    arrived: Time | None = None
    id: FieldSql | None = None
    where: FieldSql | None = None
    columns: dict[Name, Column] = Field(default_factory=dict)
    lists: list[str] = Field(default_factory=list)
    one_row_per: FieldSql | None = None
    only: list[str] = Field(default_factory=list)
    skip: list[str] = Field(default_factory=list)
    headers: str | None = None
    zone: Annotated[str, AfterValidator(_zone)] | None = None
    decimal: Literal[".", ","] = "."
    encoding: Literal["utf-8", "utf-16", "latin-1"] = "utf-8"

    @model_validator(mode="after")
    def _names(self) -> Self:
        if taken := sorted(set(self.columns) & set(CANONICAL)):
            raise ValueError(f"columns.{taken[0]} is a column that every import has; give it another name")
        return self

    @property
    def sql(self) -> dict[str, str]:
        """The expression of each column that the log gets."""
        own = {"user": self.user, "event": self.event, "time": self.time.sql}
        own |= {"arrived": self.arrived.sql} if self.arrived is not None else {}
        own |= {"id": self.id} if self.id is not None else {}
        return own | {name: column.sql for name, column in self.columns.items()}

    @property
    def canonical(self) -> list[str]:
        """Those of the columns that every import has, as far as the export has them."""
        return [name for name in CANONICAL if name in self.sql]

    @property
    def expressions(self) -> list[str]:
        """All expressions over fields."""
        return [*self.sql.values(), *(sql for sql in (self.where, self.one_row_per) if sql is not None)]

    def adding(self, columns: dict[str, Column], **changed: object) -> "Importer":
        """The importer with more columns, and with other values of its keys where they are not None.

        Raises:
            EventLogError: a name or a value does not fit.
        """
        merged = self.model_dump() | {key: value for key, value in changed.items() if value is not None}
        merged["columns"] = {**self.model_dump()["columns"], **{n: c.model_dump() for n, c in columns.items()}}
        return _checked(merged, "the columns that were given")


def names() -> list[str]:
    """The importers there are."""
    return sorted(file.name.removesuffix(".yaml") for file in files("features.imports").joinpath("importers").iterdir())


def load(like: str, folder: Path = Path()) -> Importer:
    """An importer by its name, or from a YAML file of one's own.

    Args:
        like: the name, or the file.
        folder: where relative paths start.

    Raises:
        EventLogError: there is none of that name, or the file does not declare one.
    """
    own = folder / like
    if own.suffix in (".yaml", ".yml"):
        if not own.is_file():
            raise EventLogError(f"there is no file {own}.", fix="check the path")
        content = own.read_text(encoding="utf-8")
    elif like in names():
        content = files("features.imports").joinpath("importers", f"{like}.yaml").read_text(encoding="utf-8")
    else:
        raise EventLogError(f"there is no importer {like!r}.", fix=f"use one of {', '.join(names())}, or a YAML file")
    try:
        declared = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise EventLogError(f"{like} is not YAML: {str(error).splitlines()[0]}.", fix="correct it") from error
    return _checked(declared, like)


def _checked(declared: object, place: str) -> Importer:
    try:
        return Importer.model_validate(declared)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EventLogError(f"{place}: {where or 'it'}: {first['msg']}.", fix="see docs/how-to/imports.md") from error
