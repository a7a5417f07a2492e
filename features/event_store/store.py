"""The event store: the log, checked once and kept as Parquet, bucketed by user, sorted by user and time.

New files of the log are taken in when the store is opened; nothing of them is read twice. Parts never change: a run
writes new ones and then switches the manifest, so that one killed at any moment leaves the state before it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from features.engines.rows import LATE
from features.errors import EventLogError
from features.event_store.collisions import bucket_of
from features.event_store.erasure import clean, erase_events, without_erased
from features.event_store.ingest import Intake
from features.event_store.manifest import Manifest, made_of
from features.event_store.merged.ids import MergedIds, reported_merges
from features.event_store.new_files import (
    guess_rows,
    has_changed_files,
    has_unnamed_live_files,
    untaken,
    with_moved_live_files,
)
from features.event_store.part_files import PartFiles
from features.event_store.refunds import with_refunds
from features.events.compacted import Compacted
from features.events.events import Events, Rows
from features.events.hashing import hashed_names
from features.events.tombstones import Tombstones
from features.events.write import JoinedWork, Work, gather_here, write_frames
from features.identities.people import People
from features.reading.batch import add
from features.reading.findings import Findings
from features.reading.findings import together as all_findings
from features.reading.source import EventLog, nothing_left
from features.settings import Settings
from features.system.durable import new_folder
from features.system.lock import held, locked
from features.system.parallel import each
from features.system.progress import Progress, ignore

R = TypeVar("R")


#: rows of a bucket when the store is built; a bucket is what one core works on
BUCKET_ROWS = 400_000


class EventStore:
    """The kept form of an event log.

    Args:
        log: the log, opened.
        folder: where the store is.

    Attributes:
        log: the log.
        manifest: the state that is read; `update` moves it on.
    """

    def __init__(self, log: EventLog, folder: Path) -> None:
        self.log = log
        self._home = folder
        self._folder = folder / made_of(log.definition, log.place)
        self._files = PartFiles(self._folder, log.n_values)
        self._reading = ExitStack()
        self._merged: MergedIds | None = None
        self._manifest = Manifest.load(self._folder)

    @classmethod
    def open(cls, log: EventLog, settings: Settings, *, progress: Progress = ignore) -> "EventStore":
        """Open a log's store and take in what is new.

        Args:
            log: the log, opened.
            settings: where things are kept.
            progress: gets the number of bytes of the log done.

        Raises:
            EventLogError: the log cannot be read, a file that was taken in has changed while others are gone, or no
                event is left.
        """
        store = cls(log, settings.events(log.definition.name))
        store.update(progress=progress)
        return store

    @property
    def manifest(self) -> Manifest:
        """The state that is read.

        Raises:
            EventLogError: nothing was ever taken in.
        """
        if self._manifest is None:
            raise EventLogError(f"{self._folder} holds no events.", fix="call EventStore.update first")
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

    def write(
        self, work: Work, schema: pl.Schema, folder: Path, *, by: str | None = None, progress: Progress = ignore
    ) -> int:
        """Write what is made of each run of users; see `Log.write`."""
        return write_frames(self.map, work, folder, by=by, progress=progress)

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
        return self.write(lambda events: work(events, table), schema, folder, by=by, progress=progress)

    def gather(
        self, folder: Path, columns: Sequence[str], work: Callable[[pl.DataFrame], pl.DataFrame]
    ) -> pl.DataFrame:
        """Bring together what is made of each part; see `Log.gather`."""
        return gather_here(folder, columns, work)

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
        rows = self._files.read(parts, ids=False)
        if users is not None:
            rows = rows.take(
                pc.is_in(rows.users, pa.array(users, rows.users.type)).to_numpy(zero_copy_only=False)[rows.codes]
            )
        if self.people:
            rows = rows.take(self.people.sets_of(pl.Series(rows.users, dtype=pl.String))[rows.codes] < 0)
        return (rows.sorted() if len(parts) > 1 else rows).events(self.ends if ends is None else ends, {})

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

    def update(self, *, progress: Progress = ignore) -> None:
        """Take in the log's new files; a file that changed makes the store be rebuilt.

        Raises:
            EventLogError: as for `open`.
        """
        self._reading.close()
        self._merged = None
        new_folder(self._home)
        with locked(self._home, wait=True):
            self._manifest = Manifest.load(self._folder)
            self._take_out_erased()
            self._take_out_refunds()
            new = self._new_files()
            if new:
                self._take(new, progress)
            elif self._manifest is not None:
                progress(sum(file.stat().st_size for file in self.log.files))
            if self._manifest is not None:
                clean(self._folder, self._manifest)
            # the parts of the state that is read stay, until this store is closed or the process ends
            self._reading.enter_context(held(self._folder))
        if not self.manifest.parts or self.first >= self.ends:
            raise nothing_left(self.log, self.counts)

    def erase(self, users: Sequence[str]) -> dict[str, int]:
        """Remove users for good: their buckets are rewritten, and events of theirs never come in again.

        Stores kept for other definitions of the log lose them too.

        Returns:
            The number of events removed here, by user.
        """
        names = list(dict.fromkeys(users))
        removed = erase_events(self.log.definition, self._home, self.log.live, names)
        self._manifest, self._merged = Manifest.load(self._folder), None
        return dict.fromkeys(names, 0) | removed.stores.get(self._folder.name, {})

    def _take_out_erased(self) -> None:
        """Take erased users out whose events are still here: an erasure that was killed is finished by the next run."""
        if self._manifest is None:
            return
        state, _ = without_erased(self._manifest, self._files, Tombstones.load(self._home))
        if state is not self._manifest:
            self._switch(state)

    def _take_out_refunds(self) -> None:
        """Refunds of a store that an older version has written are events no longer."""
        if self._manifest is None:
            return
        state = with_refunds(self._manifest, self._files, self.log.definition)
        if state is not self._manifest:
            self._switch(state)

    def _new_files(self) -> list[Path]:
        """Files not taken in yet; all of them, and an empty start, when the store must be rebuilt.

        That is when a file that was taken in has changed, and when compacted files were taken in that an older
        `Compacted`, restored from a backup, does not name: their events are in the live log, and come again in other
        files.
        """
        if self._manifest is None:
            return self.log.files
        state = self._manifest = with_moved_live_files(self._manifest, self.log)
        if has_unnamed_live_files(state, self.log):
            self._manifest = None
            return self.log.files
        if has_changed_files(state, self.log, self._folder):
            self._manifest = None
            # types are decided again, too
            self.log = EventLog(self.log.definition, ends=self.log.ends, live=self.log.live)
            return self.log.files
        return untaken(state, self.log)

    def _take(self, files: list[Path], progress: Progress) -> None:
        old = Manifest.load(self._folder)
        state = self._manifest or Manifest(
            made_of=self._folder.name,
            buckets=max(1, -(-guess_rows(files) // BUCKET_ROWS)),
            generation=old.generation + 1 if old else 0,
            position=0,
            files=[],
            parts=[],
            refunds=True,
            erased=sorted(Tombstones.load(self._home).marks, key=str),
        )
        self._switch(Intake(self.log, self._files, state).take(files, progress))

    def _switch(self, state: Manifest) -> None:
        state = state.marked()
        state.save(self._folder)
        self._manifest = state
