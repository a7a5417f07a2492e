"""Events of a log that other machines work on: they are kept, read and erased as in any event store."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import polars as pl

from features.definition.numbers import event_numbers
from features.definition.schema import Definition
from features.event_store.manifest import Part
from features.event_store.stored_events import StoredEvents
from features.events.compacted import Compacted
from features.events.events import Events, Rows
from features.events.log import Log
from features.reading.look import Look
from features.system.files.places import Place

T = TypeVar("T")
R = TypeVar("R")

#: the folder whose lock is held while other machines take files in
TAKING = "taking"

#: the folder in an object store of what is handed to other machines, and is gone when a command ends
HANDED = "handed-over"

#: how the folders of the parts begin that they write in one run
RUN = "run-"


@dataclass(frozen=True, slots=True)
class DistantOrigin:
    """What is known of such a log, whose files need not be at hand.

    Attributes:
        definition: the definition.
        ends: the log is complete through this instant.
        live: what has been compacted out of the live log.
        columns: the log's columns with DuckDB's types.
    """

    definition: Definition
    ends: int
    live: Compacted
    columns: dict[str, str]

    is_view: ClassVar[bool] = False

    @property
    def n_values(self) -> int:
        """How many valued signals rows have."""
        return len(event_numbers(self.definition))

    @property
    def has_arrivals(self) -> bool:
        """Whether rows say when they arrived."""
        return self.definition.events.columns.arrived is not None

    @property
    def place(self) -> list[str]:
        """Where the log is, and that it is not kept by this machine."""
        path = self.definition.events.path
        return ["distributed", *([path] if isinstance(path, str) else path)]


class EventReader(Protocol):
    """Reads the parts of an event store."""

    def events(self, parts: list[Part], *, ends: int, users: Sequence[str] | None = None) -> Events:
        """Read some parts of a bucket; see `features.event_store.stored_events.StoredEvents.events`."""
        ...


class DistantReader(EventReader, Protocol):
    """Reads events on whichever machine it is sent to."""

    @property
    def attempt(self) -> str:
        """What tells the files that a task writes from those of its other tries."""
        ...


class BesideEvents(Protocol):
    """Rows of users that lie beside their events."""

    def of(self, bucket: int) -> pl.DataFrame:
        """Those of a bucket's users."""
        ...


class DistributedLog(Log, Protocol):
    """A log whose events other machines keep, and whose users they work on."""

    definition: Definition

    @property
    def store(self) -> StoredEvents:
        """Its kept events."""
        ...

    @property
    def look(self) -> Look:
        """Looks at the rows of its files."""
        ...

    @property
    def reader(self) -> DistantReader:
        """Reads events where they are."""
        ...

    def work(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """What other machines make of each of some items, in their order."""
        ...

    def of_persons(self, who: pl.DataFrame, work: Callable[[Rows], R]) -> Iterator[R]:
        """What other machines make of the rows of ids that were merged, those of a person at once.

        Args:
            who: the ids, ``id``, and by which id their person is called, ``user``.
            work: on whole persons.
        """
        ...

    def beside(self, table: pl.DataFrame, folder: Path) -> AbstractContextManager[BesideEvents]:
        """Lay rows of users beside their events, until the block ends.

        Args:
            table: ``user`` and other columns.
            folder: is made for them, and removed.
        """
        ...

    def filled(self, folder: Path) -> AbstractContextManager[Place]:
        """Where other machines write the files of a folder; see `features.events.log.Log.filled`."""
        ...

    def added_to(self, folder: Path, names: Sequence[str]) -> AbstractContextManager[Place]:
        """Where other machines see some files of a folder, and write more; these are in the folder after the block."""
        ...
