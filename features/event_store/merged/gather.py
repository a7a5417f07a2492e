"""Rows of people whose ids lie in several buckets, brought together on disk in one pass over the buckets."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc as ipc
from numpy.typing import NDArray

from features.event_store.manifest import Manifest
from features.event_store.part_files import PartFiles
from features.events.events import Rows
from features.events.group_files import GroupFiles
from features.events.hashing import bucket_of, hashed
from features.events.sort import grouped
from features.identities.people import People
from features.system.parallel import each

#: how the folders of these rows begin
GATHERED = "people-"


class Gathered:
    """Runs of rows, each of whole sets of ids.

    Args:
        folder: where they are.
        runs: the files that there are.
        n_values: how many valued signals rows have.
    """

    def __init__(self, folder: Path, runs: list[int], n_values: int) -> None:
        self._folder, self._runs, self._n_values = folder, runs, n_values

    def __len__(self) -> int:
        return len(self._runs)

    def __getitem__(self, run: int) -> Rows:
        with (self._folder / str(self._runs[run])).open("rb") as source:
            return Rows.together([ipc.open_stream(source).read_all()], self._n_values)

    def __iter__(self) -> Iterator[Rows]:
        return (self[run] for run in range(len(self)))


@contextmanager
def gathered(state: Manifest, files: PartFiles, people: People, users: pl.Series | None) -> Iterator[Gathered]:
    """Bring the rows of merged ids together; they are gone again at the end.

    Args:
        state: the store's state.
        files: its parts.
        people: whose ids were merged.
        users: only of these ids; all when left out.
    """
    ids = people.ids if users is None else users
    buckets = np.unique(bucket_of(hashed(pa.chunked_array([ids.to_arrow()])), state.buckets)).tolist()
    names = ids.sort().to_list() if users is not None else None
    n = max(1, state.buckets)

    def read(bucket: int) -> tuple[pa.Table, NDArray[np.int64]]:
        rows = files.read(state.of_bucket(bucket), ids=False, users=names)
        sets = people.sets_of(pl.Series(rows.users, dtype=pl.String))
        order, starts = grouped(np.where(sets >= 0, sets % n, -1)[rows.codes], n)
        return rows.take(order).table(), starts

    with TemporaryDirectory(prefix=GATHERED, dir=files.folder) as scratch:
        with GroupFiles(Path(scratch)) as runs:
            for table, starts in each(buckets, read):
                runs.append(table.set_column(0, "user", table["user"].cast(pa.large_string())), starts)
        yield Gathered(Path(scratch), runs.groups, files.n_values)
