"""The events of a log that other machines work on, kept by them: users are read, and erased, as in any event store."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from features.definition.numbers import event_numbers
from features.definition.schema import Definition
from features.event_store.erasure import clean, without_erased
from features.event_store.manifest import Manifest, Part
from features.event_store.merged.pairs import keep_merges
from features.event_store.part_files import PartFiles
from features.event_store.store import BUCKET_ROWS
from features.event_store.stored_events import StoredEvents
from features.events.compacted import Compacted
from features.events.distributed import DistributedLog, EventFile
from features.events.tombstones import Tombstones
from features.system.files.durable import flush, new_folder
from features.system.files.lock import locked

#: each time all is written, and comes in at once
POSITION = 1


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

    @property
    def n_values(self) -> int:
        """How many valued signals rows have."""
        return len(event_numbers(self.definition))

    @property
    def place(self) -> list[str]:
        """Where the log is, and that it is not kept by this machine."""
        path = self.definition.events.path
        return ["distributed", *([path] if isinstance(path, str) else path)]


def keep_events(log: DistributedLog, home: Path) -> StoredEvents:
    """Have a log's events written, all of them again, and switch the store to them.

    A run killed at any moment leaves the events of the one before.

    Args:
        log: the log.
        home: holds the stores; a path that all its machines see.
    """
    kept = StoredEvents(DistantOrigin(log.definition, log.ends, log.live, log.columns), home)
    new_folder(kept.folder)
    before, scratch = Manifest.load(kept.folder), kept.folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    buckets = max(1, -(-log.n_events // BUCKET_ROWS))
    written = log.write_events(scratch, buckets)
    state = Manifest(
        made_of=kept.folder.name,
        buckets=buckets,
        generation=before.generation + 1 if before is not None else 0,
        position=POSITION,
        files=[],
        parts=[],
        by_arrival=log.definition.events.columns.arrived is not None,
        refunds=True,
        erased=sorted(log.erased.marks, key=str),
    )
    files, name = PartFiles(kept.folder, kept.log.n_values), f"{state.generation}-{POSITION}"
    change = {
        "parts": [_placed(file, i, kept.folder, name) for i, file in enumerate(written)],
        "merges": keep_merges([log.both], state, files, name),
    }
    flush(kept.folder)
    with locked(home, wait=True):
        # who was erased while it was written
        state, _ = without_erased(state.model_copy(update=change).marked(), files, Tombstones.load(home))
        state.save(kept.folder)
        clean(kept.folder, state)
    shutil.rmtree(scratch)
    return StoredEvents(kept.log, home)


def _placed(file: EventFile, number: int, folder: Path, written: str) -> Part:
    """A written file as a part of the store."""
    name = f"bucket-{file.bucket:04d}-{written}-{number}.parquet"
    flush(file.path)
    file.path.rename(folder / name)
    return Part(bucket=file.bucket, name=name, rows=sum(file.blocks.values()), first=file.first, last=file.last,
                position=POSITION, blocks=file.blocks)  # fmt: skip
