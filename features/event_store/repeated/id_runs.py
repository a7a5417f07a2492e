"""Sorted runs of the ids that a store holds: new ids are found among old ones without reading the parts.

A run of new ids is merged with those before it that are no larger, so that there are few, and an id is written again as
often as runs double. Runs may name ids whose rows are gone; they lack none that is there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.errors import EventLogError
from features.event_store.manifest import IdRun
from features.events.sort import grouped
from features.system.files.durable import flush

#: ids as they lie in a file
_ID = np.dtype("<i8")


@dataclass(frozen=True)
class IdRuns:
    """The runs of a state.

    Attributes:
        folder: where they are.
        runs: the files, oldest first.
        ids: what they hold, ascending, mapped from the disk.
    """

    folder: Path
    runs: Sequence[IdRun]
    ids: Sequence[NDArray[np.int64]]

    @classmethod
    def open(cls, folder: Path, runs: Sequence[IdRun]) -> "IdRuns":
        """Map runs.

        Raises:
            EventLogError: a file is missing or not whole; the error names it.
        """
        return cls(folder, runs, [_mapped(folder / run.name, run.ids) for run in runs])

    def members(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Flag those of ascending ids that are in a run."""
        flags = np.zeros(ids.size, dtype=np.bool_)
        for run in self.ids:
            if run.size:
                flags |= run[np.minimum(np.searchsorted(run, ids), run.size - 1)] == ids
        return flags

    def with_ids(self, shards: Iterable[NDArray[np.int64]], of: int, most: int, name: str) -> list[IdRun]:
        """Write a run of new ids.

        Args:
            shards: of each shard the new ids, ascending; all shards in order.
            of: how many shards there are.
            most: how many new ids there are at most.
            name: of the new file.

        Returns:
            The runs of the next state.
        """
        sizes, at = [run.ids for run in self.runs], 0
        while at < len(sizes) and sum(sizes[at + 1 :]) + most <= sizes[at]:
            at += 1
        written = 0
        with (self.folder / name).open("wb") as file:
            for shard, new in enumerate(shards):
                bounds = [first_of(shard, of), first_of(shard + 1, of)]
                older = [run[slice(*_cut(run, bounds))] for run in self.ids[at:]]
                every = np.unique(np.concatenate([new, *older])) if older else new
                every.astype(_ID, copy=False).tofile(file)
                written += every.size
        flush(self.folder / name)  # its name, with the manifest that lies beside it
        return [*self.runs[:at], IdRun(name=name, ids=written)]


def spread(ids: NDArray[np.int64], shards: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order ids by shard, a range of ids each; 0 is not an id.

    Returns:
        The ids, and where each shard begins, with the end.
    """
    order, starts = grouped(np.where(ids != 0, ((ids >> 32) + (1 << 31)) * shards >> 32, -1), shards)
    return ids[order], starts


def first_of(shard: int, shards: int) -> int:
    """The least id of a shard; of the one after the last, the number after all ids."""
    return (-(-(shard << 32) // shards) - (1 << 31)) << 32


def _cut(run: NDArray[np.int64], bounds: list[int]) -> list[int]:
    """Where ids of a range begin and end in a run."""
    return [run.size if bound >= 1 << 63 else int(np.searchsorted(run, bound)) for bound in bounds]


def _mapped(path: Path, ids: int) -> NDArray[np.int64]:
    size = path.stat().st_size if path.exists() else 0
    if size != ids * _ID.itemsize:
        raise EventLogError(
            f"the event store's {path} holds {size:,} bytes instead of {ids * _ID.itemsize:,}.",
            fix=f"remove {path.parent}; it is rebuilt from the log",
        )
    return np.memmap(path, dtype=_ID, mode="r") if ids else np.zeros(0, dtype=np.int64)
