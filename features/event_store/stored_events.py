"""The events of a log as they are kept, read: a log that is worked through bucket by bucket."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import polars as pl

from features.definition.schema import Definition
from features.engines.rows import LATE
from features.errors import EventLogError
from features.event_store.manifest import Manifest, Part, made_of
from features.event_store.merged.ids import MergedIds, reported_merges
from features.event_store.part_files import PartFiles
from features.events.compacted import Compacted
from features.events.events import Events, Rows
from features.events.hashing import bucket_of, hashed_names
from features.events.log import LocalLog, LogFacts
from features.identities.people import People
from features.reading.batch import add
from features.reading.findings import Findings
from features.reading.findings import together as all_findings
from features.system.parallel import each

R = TypeVar("R")


class Origin(LogFacts, Protocol):
    """What is known of the log whose events are kept."""

    @property
    def definition(self) -> Definition:
        """The definition."""
        ...

    @property
    def n_values(self) -> int:
        """How many valued signals rows have."""
        ...

    @property
    def place(self) -> list[str]:
        """Where it is."""
        ...

    @property
    def has_arrivals(self) -> bool:
        """Whether rows say when they arrived."""
        ...

    @property
    def is_view(self) -> bool:
        """Whether it is a view, whose rows change without its file."""
        ...


class StoredEvents(LocalLog):
    """A log's kept events.

    Args:
        log: what is known of the log.
        folder: where the stores of the definition are.

    Attributes:
        log: what is known of the log.
        folder: where the events are.
        manifest: the state that is read.
    """

    def __init__(self, log: Origin, folder: Path) -> None:
        self.log = log
        self._home = folder
        self.folder = folder / made_of(log.definition, log.place)
        self._merged: MergedIds | None = None
        self._manifest = Manifest.load(self.folder)
        self._files = PartFiles.of(self.folder, log.n_values, self._manifest)

    @property
    def manifest(self) -> Manifest:
        """The state that is read.

        Raises:
            EventLogError: nothing was ever taken in.
        """
        if self._manifest is None:
            raise EventLogError(f"{self.folder} holds no events.", fix="call EventStore.update first")
        return self._manifest

    @property
    def ends(self) -> int:
        """The log is complete through this instant."""
        return self.log.ends

    @property
    def live(self) -> Compacted:
        """What of the log came by the live path."""
        return self.log.live

    @property
    def columns(self) -> dict[str, str]:
        """The log's columns with DuckDB's types."""
        return self.log.columns

    @property
    def counts(self) -> dict[str, int]:
        """Rows of the log, and those left out by reason."""
        counts: dict[str, int] = {}
        for file in self.manifest.files:
            counts = add(counts, file.counts)
        late = sum(
            int((self._files.column(part, "t") >= self.ends).sum())
            for part in self.manifest.parts
            if part.last >= self.ends
        )
        erased = {"erased user": self.manifest.erased_rows} if self.manifest.erased_rows else {}
        return add(counts, erased) | {"duplicate id": self.manifest.duplicates, LATE: late}

    @property
    def findings(self) -> Findings:
        """What of the log could not be read, or is doubtful."""
        return all_findings(file.findings for file in self.manifest.files)

    @property
    def first(self) -> int:
        """The earliest event time."""
        return min(part.first for part in self.manifest.parts)

    @property
    def runs(self) -> int:
        """How many runs of users `map` makes: the buckets, and as many of people whose ids were merged."""
        return self.manifest.buckets * (2 if self.people else 1)

    @property
    def kept(self) -> int:
        """How many events are there."""
        counts = self.counts
        return 2 * counts["rows"] - sum(counts.values())

    @property
    def buckets(self) -> range:
        """All buckets."""
        return range(self.manifest.buckets)

    @property
    def merged(self) -> MergedIds:
        """The ids that were merged with others, as of this state."""
        if self._merged is None:
            self._merged = MergedIds(self.log.definition, self.manifest, self._files, self._home, self.log.live)
        return self._merged

    @property
    def people(self) -> People:
        """Who is who of them."""
        return self.merged.people

    def reported_merges(self, live: Compacted) -> pl.DataFrame:
        """What is reported of ids that are one person's, with what has been compacted since this log was opened."""
        return reported_merges(self.log.definition, self.manifest, self._files, self._home, live)

    def map(self, work: Callable[[Events], R]) -> Iterator[R]:
        """Yield ``work(events)`` for each bucket with events, in order, on all cores; memory holds a few buckets.

        Ids that were merged come after the buckets, as the persons that they were at each time.
        """

        def one(bucket: int) -> R | None:
            events = self.bucket(bucket)
            return work(events) if len(events.users) else None

        known = self.people  # before threads ask for it

        def people(rows: Rows) -> R | None:
            events = known.events(rows, self.ends)
            return work(events) if events is not None else None

        yield from (r for r in each(self.buckets, one) if r is not None)
        if known:
            with self.merged.rows() as runs:
                yield from (r for r in each(range(len(runs)), lambda i: people(runs[i])) if r is not None)

    def bucket(
        self, bucket: int, *, since: int = 0, ends: int | None = None, users: Sequence[str] | None = None
    ) -> Events:
        """Read one bucket's events, without those of ids that were merged with others.

        Args:
            bucket: which.
            since: only what came in after this position.
            ends: only what happened before this instant; the log's end when left out.
            users: only of these.

        Raises:
            EventLogError: a part is damaged; the error names it.
        """
        parts = [part for part in self.manifest.of_bucket(bucket) if part.position > since]
        return self.events(parts, ends=self.ends if ends is None else ends, users=users)

    def events(self, parts: list[Part], *, ends: int, users: Sequence[str] | None = None) -> Events:
        """Read some parts of a bucket, as `bucket` reads them."""
        return self._files.events(parts, self.people, ends=ends, users=users)

    def events_of(self, users: Sequence[str]) -> dict[str, int]:
        """How many events there are of some users."""
        places = bucket_of(hashed_names(users), self.manifest.buckets).tolist()
        return {
            user: len(self.rows_of(bucket, [user], through=self.manifest.position).t)
            for user, bucket in zip(users, places, strict=True)
        }

    def rows_of(self, bucket: int, users: Sequence[str], *, through: int) -> Rows:
        """Read all events of some users of a bucket, with their ids, sorted, from the parts of their own alone.

        Args:
            bucket: which.
            users: whose.
            through: only what came in through this position.

        Raises:
            EventLogError: a part is damaged, or was merged again meanwhile; the error names it.
        """
        parts = [part for part in self.manifest.of_bucket(bucket) if part.position <= through]
        return self._files.read(parts, ids=True, users=users)

    def read(self) -> Events:
        """Read all events into memory; `map` does not need to."""
        return self._files.read(self.manifest.parts, ids=False).sorted().events(self.ends, self.counts)
