"""The event store: the log, checked once and kept as Parquet, bucketed by user, sorted by user and time.

New files of the log are taken in when the store is opened; nothing of them is read twice. Parts never change: a run
writes new ones and then switches the manifest, so that one killed at any moment leaves the state before it.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from features.event_store.erasure import clean, erase_events, without_erased
from features.event_store.ingest import Intake
from features.event_store.manifest import Manifest
from features.event_store.new_files import (
    guess_rows,
    has_changed_files,
    has_unnamed_live_files,
    untaken,
    with_moved_live_files,
)
from features.event_store.refunds import with_refunds
from features.event_store.stored_events import StoredEvents
from features.events.tombstones import Tombstones
from features.reading.source import EventLog, nothing_left
from features.settings import Settings
from features.system.files.durable import new_folder
from features.system.files.lock import held, locked
from features.system.progress import Progress, ignore

#: rows of a bucket when the store is built; a bucket is what one core works on
BUCKET_ROWS = 400_000


class EventStore(StoredEvents):
    """The kept form of an event log, which takes in what is new.

    Args:
        log: the log, opened.
        folder: where the stores of the definition are.

    Attributes:
        manifest: the state that is read; `update` moves it on.
    """

    log: EventLog

    def __init__(self, log: EventLog, folder: Path) -> None:
        super().__init__(log, folder)
        self._reading = ExitStack()

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

    def update(self, *, progress: Progress = ignore) -> None:
        """Take in the log's new files; a file that changed makes the store be rebuilt.

        Raises:
            EventLogError: as for `open`.
        """
        self._reading.close()
        self._merged = None
        new_folder(self._home)
        with locked(self._home, wait=True):
            self._manifest = Manifest.load(self.folder)
            self._take_out_erased()
            self._take_out_refunds()
            new = self._new_files()
            if new:
                self._take(new, progress)
            elif self._manifest is not None:
                progress(sum(file.stat().st_size for file in self.log.files))
            if self._manifest is not None:
                clean(self.folder, self._manifest)
            # the parts of the state that is read stay, until this store is closed or the process ends
            self._reading.enter_context(held(self.folder))
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
        self._manifest, self._merged = Manifest.load(self.folder), None
        return dict.fromkeys(names, 0) | removed.stores.get(self.folder.name, {})

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
        if has_changed_files(state, self.log, self.folder):
            self._manifest = None
            # types are decided again, too
            self.log = EventLog(self.log.definition, ends=self.log.ends, live=self.log.live)
            return self.log.files
        return untaken(state, self.log)

    def _take(self, files: list[Path], progress: Progress) -> None:
        old = Manifest.load(self.folder)
        state = self._manifest or Manifest(
            made_of=self.folder.name,
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
        state.save(self.folder)
        self._manifest = state
