"""The event log on Spark: executors keep its events, and work on its users."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import polars as pl

from features.definition.schema import Definition
from features.errors import EventLogError
from features.event_store.distributed import DistantOrigin, DistributedLog
from features.events.compacted import NONE, Compacted, declared_end
from features.events.events import Rows
from features.events.tombstones import Tombstones
from features.events.write import JoinedWork, parts_of_users
from features.identities.people import People
from features.settings import Settings
from features.spark.errors import in_words
from features.spark.exchange import Exchange
from features.spark.executors import gathering, on_executors
from features.spark.intake.look import SparkLook
from features.spark.intake.taken import Taking
from features.spark.kept import SparkEvents
from features.spark.partitions import Users, Writing
from features.spark.session import open_session
from features.spark.table import Table
from features.system.files.places import Place
from features.system.progress import Progress, ignore

T = TypeVar("T")
R = TypeVar("R")


class SparkLog(DistributedLog):
    """An event log whose kept events Spark's executors work on.

    Args:
        store: its kept events, up to date.
        taking: has the connection, and hands files over.

    Attributes:
        definition: the definition.
        session: the connection.
    """

    runs = 1

    def __init__(self, store: SparkEvents, taking: Taking) -> None:
        self._store, self.session, self._exchange = store, taking.session, taking.exchange
        self.definition = store.log.definition
        self._place = shown(self.definition)

    @classmethod
    def open(
        cls, definition: Definition, settings: Settings, *, ends: int | None = None, live: Compacted = NONE
    ) -> "SparkLog":
        """Connect to Spark, and have executors take in what is new of a log.

        Args:
            definition: the definition.
            settings: name the Spark; its machines see ``home`` at the same path, or ``shared``.
            ends: the instant through which the log is complete; overrides the definition's.
            live: what has been compacted out of the live log.

        Raises:
            EventLogError: the log cannot be read as declared, or no event is left of it.
            SparkError: Spark does not answer.
        """
        declared = declared_end(definition, ends, live)
        if declared is None:
            raise EventLogError(
                "events.ends is not declared.", fix="set the instant through which the log is complete, or give --ends"
            )
        origin = DistantOrigin(definition, declared, live, {})
        exchange = Exchange(settings.shared, settings.folder(definition.name))
        taking = Taking(open_session(settings), origin, settings, exchange)
        with in_words(shown(definition)):
            store = taking.up_to_date()
        if not store.manifest.parts or store.first >= store.ends:
            raise EventLogError(
                f"no event is left of {definition.events.path}.", fix="compare the signals with the log"
            )
        return cls(store, taking)

    @property
    def store(self) -> SparkEvents:
        """Its kept events."""
        return self._store

    @property
    def ends(self) -> int:
        """The log is complete through this instant."""
        return self.store.ends

    @property
    def live(self) -> Compacted:
        """What of it came by the live path."""
        return self.store.live

    @property
    def columns(self) -> dict[str, str]:
        """The log's columns with DuckDB's types; what DuckDB has no name for is text."""
        return self.store.columns

    @property
    def first(self) -> int:
        """The earliest event time."""
        return self.store.first

    @property
    def look(self) -> SparkLook:
        """Looks at the rows of its files."""
        erased, known = Tombstones(self.store.manifest.erased), self.store.manifest.columns
        return SparkLook(self.session, self.definition, known, self.ends, erased)

    @property
    def people(self) -> People:
        """Who is who."""
        return self.store.people

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
        """Write what is made of each run's events and of their rows of a table; see `Log.write_joined`."""
        fresh, beside = (folder.with_name(folder.name + end) for end in (".new", ".beside"))
        out = self._exchange.empty(fresh)
        with self.beside(table, beside) if table is not None else nullcontext() as joined, in_words(self._place):
            written = self._worked(work, out, by, joined)
        self._exchange.receive(out, list(written), fresh)
        self._exchange.replace(fresh, folder)
        progress(1)
        return sum(written.values())

    def _worked(self, work: JoinedWork, out: Place, by: str | None, table: Table | None) -> dict[str, int]:
        """The rows of each file that executors write."""
        writing = Writing(self.store.users(table), work, out, by)
        written = dict[str, int]()
        for files in on_executors(self.session, writing.bucket, self.store.parts):
            written |= files
        persons = self.store.persons(writing.users, writing.persons, "file STRING, rows LONG")
        for row in persons.collect() if persons is not None else ():
            written[str(row["file"])] = int(row["rows"])
        return written

    @cached_property
    def reader(self) -> Users:
        """Reads events where they are."""
        return self.store.users()

    def work(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """What executors make of each of some items, in their order."""
        with in_words(self._place):
            return on_executors(self.session, work, items)

    def of_persons(self, who: pl.DataFrame, work: Callable[[Rows], R]) -> Iterator[R]:
        """What executors make of the rows of persons; see `DistributedLog.of_persons`."""
        with in_words(self._place):
            yield from self.store.of_persons(who, work)

    @contextmanager
    def beside(self, table: pl.DataFrame, folder: Path) -> Iterator[Table]:
        """Lay rows of users beside their events; see `DistributedLog.beside`."""
        place = self._exchange.empty(folder)
        try:
            yield Table.write(table, self.store.manifest.buckets, place)
        finally:
            place.remove()

    @contextmanager
    def added_to(self, folder: Path, names: Sequence[str]) -> Iterator[Place]:
        """Where executors see some files of a folder, and write more; see `DistributedLog.added_to`."""
        place = self._exchange.send(list(names), folder)
        yield place
        self._exchange.receive_new(place, names, folder)

    def gather(
        self, folder: Path, columns: Sequence[str], work: Callable[[pl.DataFrame], pl.DataFrame]
    ) -> pl.DataFrame:
        """Bring together what executors make of each part; see `Log.gather`."""
        place = self._exchange.place(folder)
        parts = [[str(file.relative_to(folder)) for file in files] for files in parts_of_users(folder)]
        with in_words(str(folder)):
            found = on_executors(self.session, gathering(place, columns, work), parts)
        return pl.concat(map(pl.read_ipc_stream, found))

    def seen(self, folder: Path) -> Place:
        """Where executors read the files of a folder; see `Log.seen`."""
        return self._exchange.send([file.name for file in folder.iterdir()], folder)

    @contextmanager
    def filled(self, folder: Path) -> Iterator[Place]:
        """Where executors write the files of a folder; see `Log.filled`."""
        out = self._exchange.empty(folder)
        yield out
        self._exchange.receive(out, out.names(), folder)


def shown(definition: Definition) -> str:
    """Where a log is, in short."""
    path = definition.events.path
    return path if isinstance(path, str) else ", ".join(path[:3])
