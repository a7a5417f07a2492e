"""A log that can be worked through, wherever it is: events in memory, the event store, or Spark."""

import shutil
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import polars as pl

from features.events.compacted import NONE, Compacted
from features.events.events import Events
from features.events.write import JoinedWork, Work, gather_here, write_frames
from features.system.files.durable import new_folder
from features.system.files.places import Place
from features.system.progress import Progress, ignore

R = TypeVar("R")


class LogFacts(Protocol):
    """What is known of a log."""

    @property
    def ends(self) -> int:
        """The log is complete through this instant."""
        ...

    @property
    def live(self) -> Compacted:
        """What of it came by the live path."""
        ...

    @property
    def columns(self) -> dict[str, str]:
        """Its columns with DuckDB's types; none for events that have lost theirs."""
        ...


class Log(LogFacts, Protocol):
    """A log, complete through an instant, whose users can be worked on apart from each other."""

    @property
    def first(self) -> int:
        """The earliest event time."""
        ...

    @property
    def runs(self) -> int:
        """Number of progress updates."""
        ...

    def write(
        self, work: Work, schema: pl.Schema, folder: Path, *, by: str | None = None, progress: Progress = ignore
    ) -> int:
        """Write what is made of each run of users as Parquet; see `write_frames`.

        Args:
            work: makes frames of some users' events; where it runs elsewhere, it and what it holds travel there.
            schema: of the frames.
            folder: replaced when all is written.
            by: a text column that becomes folders.
            progress: gets each run that is done.

        Returns:
            The number of rows.
        """
        return self.write_joined(None, lambda events, _: work(events), schema, folder, by=by, progress=progress)

    def write_joined(
        self,
        table: pl.DataFrame | None,
        work: JoinedWork,
        schema: pl.Schema,
        folder: Path,
        *,
        by: str | None = None,
        progress: Progress = ignore,
    ) -> int:
        """Write the same where the work needs a table with a column ``user``, such as attributes; see `write`.

        Args:
            table: its rows come in their order, those of a run's users and perhaps others; None where there is none.
            work: makes frames of some users' events and of their rows.
            schema: of the frames.
            folder: replaced when all is written.
            by: a text column that becomes folders.
            progress: gets each run that is done.
        """
        ...

    def gather(
        self, folder: Path, columns: Sequence[str], work: Callable[[pl.DataFrame], pl.DataFrame]
    ) -> pl.DataFrame:
        """Bring together what is made of each part of a folder that `write` has written.

        Args:
            folder: all rows of a user lie in one part, whatever ``by`` was.
            columns: that are read.
            work: makes a frame of each part's rows; it runs where the log is worked on.
        """
        ...

    def seen(self, folder: Path) -> Place:
        """Where the machines that work on the log read the files of a folder of this machine; none is in a folder."""
        ...

    def filled(self, folder: Path) -> AbstractContextManager[Place]:
        """Where these machines write files, in the block, that are a folder's of this machine after it.

        Args:
            folder: replaced; a task that is run twice must write the same files twice.
        """
        ...


class LocalLog(Log):
    """A log whose users this machine works on, on all cores."""

    @abstractmethod
    def map(self, work: Callable[[Events], R]) -> Iterator[R]:
        """Yield ``work(events)`` for each run of users."""

    def write_joined(
        self,
        table: pl.DataFrame | None,
        work: JoinedWork,
        schema: pl.Schema,
        folder: Path,
        *,
        by: str | None = None,
        progress: Progress = ignore,
    ) -> int:
        """Write what is made of the events and of all of a table; see `Log.write_joined`."""
        return write_frames(self.map, lambda events: work(events, table), folder, by=by, progress=progress)

    def gather(
        self, folder: Path, columns: Sequence[str], work: Callable[[pl.DataFrame], pl.DataFrame]
    ) -> pl.DataFrame:
        """Bring together what is made of each part; see `Log.gather`."""
        return gather_here(folder, columns, work)

    def seen(self, folder: Path) -> Place:
        """The folder itself; see `Log.seen`."""
        return Place(str(folder))

    @contextmanager
    def filled(self, folder: Path) -> Iterator[Place]:
        """The folder itself; see `Log.filled`."""
        shutil.rmtree(folder, ignore_errors=True)
        new_folder(folder)
        yield Place(str(folder))


class InMemory(LocalLog):
    """Events in memory as a log.

    Args:
        events: all of them.
    """

    def __init__(self, events: Events) -> None:
        self.events = events

    @property
    def ends(self) -> int:
        """The log is complete through this instant."""
        return self.events.ends

    runs = 1
    live = NONE
    columns: ClassVar[dict[str, str]] = {}

    @property
    def first(self) -> int:
        """The earliest event time."""
        return int(self.events.t.min())

    def map(self, work: Callable[[Events], R]) -> Iterator[R]:
        """Yield ``work(events)``."""
        yield work(self.events)
