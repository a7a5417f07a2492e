"""Where the event log and the traits are, and how they are read."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from features.definition.sections.base import Name, Sql, Strict
from features.definition.sections.log.sources import Source


class EventColumns(Strict):
    """Which columns of the log hold what, by name, or as SQL over columns such as ``COALESCE(user_id, device_id)``.

    Attributes:
        user: the column with the user's id.
        event: the column with the event's name.
        time: the column with the time at which the event happened.
        arrived: the column with the time at which the event arrived; without it, an event arrives when it happens.
        id: the column with an id that names one event of the whole log; without it, repeats are not recognised.
    """

    user: str
    event: str
    time: str
    arrived: str | None = None
    id: str | None = None


class Reading(Strict):
    """How a table is read, for all its files alike; nothing of it is guessed.

    Attributes:
        time_format: how times in text are written: a strptime format such as ``%d.%m.%Y %H:%M``, or a list of formats
            that are tried in order, ``iso`` among them. Without it, ISO 8601.
        time_unit: the unit of times that are numbers since 1970.
        encoding: the encoding of CSV files.
    """

    time_format: str | list[str] | None = None
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    encoding: Literal["utf-8", "utf-16", "latin-1"] = "utf-8"

    @property
    def formats(self) -> list[str]:
        """The stated formats, in order."""
        written = self.time_format
        return [] if written is None else [written] if isinstance(written, str) else written

    @model_validator(mode="after")
    def _directives(self) -> Self:
        for written in self.formats:
            if written != "iso" and "%" not in written:
                raise ValueError(f"'time_format' {written!r} has no directive; write iso, or as in '%d.%m.%Y %H:%M'")
        return self


class AtMost(Strict):
    """The largest shares that only cause a warning; above them the log is refused.

    Attributes:
        unreadable: the share of a file's values that cannot be read: times, numbers of CSV columns, what a CAST
            converts; and of a database's rows that do not say when they arrived.
        placeholders: the share of rows whose user is a word for nobody, such as ``undefined``, ``null`` or ``0``.
    """

    unreadable: Annotated[float, Field(ge=0, le=1)] = 0.05
    placeholders: Annotated[float, Field(ge=0, le=1)] = 0.2


class Events(Reading):
    """Where the event log is, and how it is read.

    Attributes:
        path: a file, a folder, a pattern (``*``, ``**``, ``?``, ``[…]``), a ``file://`` address, or a list of them.
            Relative paths start at the definition's folder; ``${NAME}`` comes from the environment.
        table: the table or view to read, if ``path`` is a DuckDB file.
        sources: databases, buckets and tables whose rows are fetched into ``path``, a folder of their own, before the
            log is read.
        columns: which columns hold what.
        exclude: SQL conditions; rows for which one holds are left out everywhere, and counted.
        ends: the log is complete through this instant. Later events are dropped and counted, and no label window may
            reach past it. Change it with each new day, or name the end in each command (`--ends`): one is needed.
        begins: rows before this instant have an implausible time; they are left out and counted. Without it, 1990.
        at_most: how much of the log may be unreadable.
    """

    path: str | list[str]
    table: str | None = None
    sources: dict[Name, Source] = Field(default_factory=dict)
    columns: EventColumns
    exclude: list[Sql] = Field(default_factory=list)
    ends: datetime | None = None
    begins: datetime | None = None
    at_most: AtMost = AtMost()

    @model_validator(mode="after")
    def _own_folder(self) -> Self:
        if self.sources and (not isinstance(self.path, str) or self.table is not None or "*" in self.path):
            raise ValueError("'path' must be one folder, into which the rows of 'sources' are fetched")
        return self


class TraitColumns(Strict):
    """Which columns of the trait table hold the user and the time a row became known.

    Attributes:
        user: the column with the user's id.
        known: the column with the time at which the row became known, not the time at which its values began to hold.
    """

    user: str
    known: str


class Traits(Reading):
    """Slowly changing attributes of a user.

    Attributes:
        path: the trait table: a file, a folder or a pattern.
        columns: which columns hold the user and the time a row became known.
        fields: the columns to use as traits.
    """

    path: str
    columns: TraitColumns
    fields: Annotated[list[Name], Field(min_length=1)]
