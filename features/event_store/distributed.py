"""Events of a log that other machines work on: they are kept, read and erased as in any event store."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from features.definition.numbers import event_numbers
from features.definition.schema import Definition
from features.event_store.stored_events import StoredEvents
from features.events.compacted import Compacted
from features.events.log import Log
from features.reading.look import Look

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

    def write_changed(self, now: Path, before: Path | None, folder: Path, *, since: int, gone: bytes) -> None:
        """Write what has changed since the last time that values of users were written.

        Args:
            now: a written folder, ``user`` and ``profile``.
            before: the same of the last time; None where all have changed.
            folder: is made, of the same columns.
            since: bytes of a value before this one are not compared.
            gone: the value of who was there the last time only.
        """
        ...
