"""A log that other machines work on, which write what is kept of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from features.definition.schema import Definition
from features.events.log import Log
from features.events.tombstones import Tombstones


@dataclass(frozen=True, slots=True)
class EventFile:
    """A written file of events of one bucket of users, sorted by user and time.

    Attributes:
        path: the file.
        bucket: whose users, as `features.events.hashing.bucket_of` says.
        first: the earliest event time.
        last: the latest.
        blocks: how many events each block of time has (`features.reading.clocks`).
    """

    path: Path
    bucket: int
    first: int
    last: int
    blocks: dict[int, int]


class DistributedLog(Log, Protocol):
    """A log whose users other machines work on."""

    definition: Definition
    erased: Tombstones

    @property
    def both(self) -> pl.DataFrame:
        """The pairs of ids that are in one row, `features.reading.batch.BOTH_IDS`."""
        ...

    @property
    def n_events(self) -> int:
        """How many events there are, at most."""
        ...

    def write_events(self, folder: Path, buckets: int) -> list[EventFile]:
        """Write all events that count, by bucket.

        Args:
            folder: is made.
            buckets: how many.
        """
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
