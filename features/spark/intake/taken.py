"""A log's kept events on Spark, brought up to date: its new files are taken in, or all of them where some have changed.

A run that is killed at any moment leaves the events of the one before.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import concat, lit

from features.engines.rows import Check
from features.event_store.distributed import RUN, TAKING, DistantOrigin
from features.event_store.erasure import clean, without_erased
from features.event_store.manifest import COARSE, Manifest, TakenFile, digest_of
from features.event_store.part_files import PartFiles, place_of
from features.event_store.store import BUCKET_ROWS
from features.event_store.stored_events import StoredEvents
from features.events.compacted import is_compacted
from features.events.tombstones import Tombstones
from features.settings import Settings
from features.spark.exchange import Exchange
from features.spark.executors import FILE, rows_of_files
from features.spark.intake.column_types import duckdb_types
from features.spark.intake.expressions import checks_of
from features.spark.intake.files import LogFile, files_in, is_csv
from features.spark.intake.judging import judged_files
from features.spark.intake.opening import columns_of, open_files
from features.spark.intake.rows import both_ids, event_rows
from features.spark.intake.take_in import take_in
from features.spark.kept import SparkEvents
from features.system.files.durable import flush, new_folder
from features.system.files.lock import locked
from features.system.files.private import make_all_private

#: how the names of files of the live log begin in a store
LIVE = "live/"


@dataclass(frozen=True, slots=True)
class Taking:
    """Takes what is new of a log into its store.

    Attributes:
        session: the connection.
        origin: what is known of the log.
        settings: where things are kept.
        exchange: hands files to executors.
    """

    session: SparkSession
    origin: DistantOrigin
    settings: Settings
    exchange: Exchange

    def up_to_date(self) -> SparkEvents:
        """The log's kept events, once all its files are taken in.

        Raises:
            EventLogError: the log cannot be read.
        """
        folder = StoredEvents(self.origin, self._home).folder
        new_folder(folder)
        with locked(folder / TAKING, wait=True):
            there = files_in(self.session, self.origin.definition) | self._live_files
            while (state := self._brought(folder, there)) is None:
                pass  # somebody was erased from the store meanwhile
            # before the lock is free: another command would remove parts that this state names
            return SparkEvents(replace(self.origin, columns=duckdb_types(state.columns)), self._home, self.session)

    def _brought(self, folder: Path, there: Mapping[str, LogFile]) -> Manifest | None:
        """The state that has all files; None where the store was changed while they were taken in."""
        before = Manifest.load(folder)
        state = before if before is not None and self._holds(before, there) else None
        if state is None:
            return self._taken(folder, before, None, there, there)
        state = self._without_erased(folder, state)
        taken = {file.path for file in state.files}
        new = {name: file for name, file in there.items() if name not in taken}
        if new:
            return self._taken(folder, state, state, there, new)
        clean(folder, state, taking=True)  # of earlier states, which somebody may have read until now
        return state

    @property
    def _home(self) -> Path:
        return self.settings.events(self.origin.definition.name)

    @property
    def _live_files(self) -> dict[str, LogFile]:
        files = {f"{LIVE}{file.name}": file for file in self.origin.live.event_files}
        return {name: LogFile.of(name, file) for name, file in files.items()}

    def _holds(self, state: Manifest, there: Mapping[str, LogFile]) -> bool:
        """Whether what a state has taken in is still what the files say."""
        if state.place != self.settings.shared or (state.parts and not state.files):
            return False  # older versions did not say which files they had taken in
        for file in state.files:
            known = there.get(file.path)
            if known is None and (is_compacted(file.path) or self.origin.definition.events.sources):
                return False  # their events come again in other files, or are no more
            if known is not None and not _is_still(file, known):
                return False
        # a home that was restored may name parts that are no more in the store
        return {part.name for part in state.parts} <= set(place_of(self._home / state.made_of, state).names())

    def _without_erased(self, folder: Path, state: Manifest) -> Manifest:
        """An erasure that was killed is finished by the next run."""
        files = PartFiles.of(folder, self.origin.n_values, state)
        with locked(self._home, wait=True):
            left, _ = without_erased(state, files, Tombstones.load(self._home))
            if left is not state:
                left.save(folder)
        return left

    def _taken(
        self, folder: Path, before: Manifest | None, state: Manifest | None, there: Mapping[str, LogFile],
        new: Mapping[str, LogFile],
    ) -> Manifest | None:  # fmt: skip
        """Take files in beside what a state has, and switch to the state that has them, unless the store was changed.

        Args:
            folder: the store's.
            before: the state that the store is in; None before the first.
            state: the same, where its parts stay.
            there: all files of the log.
            new: those that are taken in.
        """
        goes_on, opened = state, self._opened(new, state.columns if state is not None else {})
        found = columns_of(opened) if opened is not None else {}
        if state is not None and any(found.get(name, dtype) != dtype for name, dtype in _decided(state).items()):
            return self._taken(folder, before, None, there, there)  # types of columns are decided by all files
        checks = checks_of(self.origin.definition, found, csv=any(map(is_csv, new))) if opened is not None else []
        rows, erased = self._rows(opened, new, checks), Tombstones.load(self._home)
        judged = judged_files(rows, self.origin.definition, new, checks, erased)
        taken = [self._settled(file, new[file.path], folder) for file in judged]
        state = state if state is not None else self._empty(folder, before, taken, erased)
        state = state.model_copy(update={"columns": {**found, **state.columns}})
        run = f"{RUN}{secrets.token_hex(4)}"
        files = replace(PartFiles.of(folder, self.origin.n_values, state), run=f"{run}/")
        (files.place / run).make()
        both = both_ids(rows, self.origin.definition)
        by_address = {new[file.path].address: file for file in taken}
        has_ids = self.origin.definition.events.columns.id is not None
        state = take_in(rows, both, by_address, state, files, self.exchange if has_ids else None)
        if not files.place.is_store:
            make_all_private(folder / run)  # executors write as their own environment says
            flush(folder / run)
            flush(folder)
        with locked(self._home, wait=True):
            if goes_on is not None and Manifest.load(folder) != goes_on:
                return None
            if before is not None and place_of(folder, before) != place_of(folder, state):
                # before the switch: what nobody names any more no erasure would find
                place_of(folder, before).remove([part.name for part in before.parts])
            # who was erased while it was written
            state, _ = without_erased(state.marked(), replace(files, run=""), Tombstones.load(self._home))
            state.save(folder)
            clean(folder, state, taking=True)
        return state

    def _opened(self, new: Mapping[str, LogFile], known: Mapping[str, str]) -> DataFrame | None:
        """The rows of the log's own new files, as they are."""
        paths = [file.address for name, file in new.items() if not name.startswith(LIVE)]
        return open_files(self.session, self.origin.definition, paths, known) if paths else None

    def _rows(self, opened: DataFrame | None, new: Mapping[str, LogFile], checks: Sequence[Check]) -> DataFrame:
        """The rows of new files in our terms."""
        definition, live = self.origin.definition, [name for name in new if name.startswith(LIVE)]
        found = [event_rows(opened, definition, checks)] if opened is not None else []
        if live:
            folder = self.origin.live.event_files[0].parent
            names = [name.removeprefix(LIVE) for name in live]
            schema = pa.unify_schemas([pq.read_schema(folder / name) for name in names], promote_options="permissive")
            ours = rows_of_files(self.session, self.exchange.send(names, folder), names, schema)
            ours = ours.withColumn(FILE, concat(lit(LIVE), FILE))
            found.append(event_rows(ours, definition, [], ours=True))  # nothing is checked of what we wrote
        return found[0] if len(found) == 1 else found[0].unionByName(found[1], allowMissingColumns=True)

    def _empty(self, folder: Path, before: Manifest | None, taken: list[TakenFile], erased: Tombstones) -> Manifest:
        """An empty store for files."""
        rows, cores = sum(file.counts["rows"] for file in taken), self.session.sparkContext.defaultParallelism
        return Manifest(
            made_of=folder.name,
            buckets=max(cores, -(-rows // BUCKET_ROWS)),
            generation=before.generation + 1 if before is not None else 0,
            position=0,
            files=[],
            parts=[],
            by_arrival=self.origin.has_arrivals,
            refunds=True,
            erased=sorted(erased.marks, key=str),
            place=self.settings.shared,
        )

    def _settled(self, file: TakenFile, known: LogFile, folder: Path) -> TakenFile:
        """A file as it will be compared: one that was just written may change again within a tick of its clock."""
        now = (folder / TAKING / ".lock").stat().st_mtime_ns
        if known.path is None or now - file.changed > COARSE:
            return file
        return file.model_copy(update={"content": digest_of(known.path)})


def _is_still(file: TakenFile, known: LogFile) -> bool:
    """Whether a file is what was taken in."""
    if (known.size, known.changed) != (file.size, file.changed):
        return False
    return not file.content or known.path is None or digest_of(known.path) == file.content


def _decided(state: Manifest) -> dict[str, str]:
    """Types of columns that values of text have decided."""
    return state.columns if any(is_csv(file.path) for file in state.files) else {}
