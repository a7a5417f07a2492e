"""The files of a bucket of the kept profiles: a base, and layers of what changed since; a user's newest row counts.

A run writes a layer of the users that changed, and merges it with those before it that are no larger: so a row is
written again as often as layers double, not as often as there are days. Layers that have grown to a share of their base
are merged into it.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.system.files.kept_files import reading
from features.system.files.places import Place

#: what a file holds; ``ahead`` is the first cutoff that sees an event not folded in yet, null of a user who is no
#: longer there; ``profile`` what the online store holds, null before anything of the user can be seen. Arrow's tables:
#: work on a few hundred rows costs a third of what it costs in frames
SCHEMA = pa.schema({"user": pa.large_string(), "through": pa.timestamp("us", "UTC"), "ahead": pa.int64(),
                    "profile": pa.large_binary()})  # fmt: skip

_INDEX = pa.schema({"user": pa.large_string(), "ahead": pa.int64(), "layer": pa.int64(), "place": pa.int64()})

#: rows read at once; profiles of a few users are read without most others
ROW_GROUP = 512

#: layers of this share of their base, and of up to three times as much, are merged into it: buckets in turn, so that
#: no day merges all of them
LEAST_SHARE = 0.125


def nobody(users: Sequence[str], through: int) -> pa.Table:
    """Rows that say that users are no longer there, `SCHEMA`."""
    none = [None] * len(users)
    return pa.table([list(users), [through] * len(users), none, none], schema=SCHEMA)


@dataclass(frozen=True)
class Layers:
    """The files of one bucket.

    Attributes:
        place: where they are.
        bucket: which bucket.
        names: the base, then layers, oldest first; none for a bucket that was never written.
    """

    place: Place
    bucket: int
    names: tuple[str, ...] = ()

    @cached_property
    def index(self) -> pa.Table:
        """Of each user the newest row: ``user``, ``ahead``, and the ``layer`` and ``place`` where it is.

        Raises:
            StoreError: a file is damaged; the error names it.
        """
        found = []
        for at, table in enumerate(self._users):
            layer, place = np.full(table.num_rows, at), np.arange(table.num_rows)
            found.append(table.append_column("layer", pa.array(layer)).append_column("place", pa.array(place)))
        return _there(_newest(found or [_INDEX.empty_table()]))

    @cached_property
    def _users(self) -> list[pa.Table]:
        """Of each file ``user`` and ``ahead``."""
        return [self._table(name, ["user", "ahead"]) for name in self.names]

    def waiting(self, through: int) -> list[str]:
        """Users of whom an event that is not folded in yet can be seen at an instant.

        Raises:
            StoreError: as `index`.
        """
        found: list[str] = self.index["user"].filter(pc.less_equal(self.index["ahead"], through)).to_pylist()
        return found

    def rows(self) -> pa.Table:
        """All users' rows, `SCHEMA`.

        Raises:
            StoreError: as `index`.
        """
        return _there(_newest([self._table(name) for name in self.names] or [SCHEMA.empty_table()]))

    def rows_of(self, users: Iterable[str]) -> pa.Table:
        """The rows of some users, ``user``, ``ahead`` and ``profile``.

        Raises:
            StoreError: as `index`.
        """
        some = self.index.filter(pc.is_in(self.index["user"], pa.array(users, pa.large_string())))
        layers, places = some["layer"].to_numpy(), some["place"].to_numpy()
        found = [SCHEMA.empty_table().select(["profile"])]
        for at in np.unique(layers).tolist():  # rows of the index are in the order of files, then of places
            found.append(self._table(self.names[at], ["profile"], places[layers == at]))
        return some.select(["user", "ahead"]).append_column("profile", pa.concat_tables(found)["profile"])

    def with_rows(self, rows: pa.Table, name: str) -> "Layers":
        """Write users' rows as a new layer, or merged with older ones.

        Args:
            rows: `SCHEMA`; each user once.
            name: of the new file; no other run may have given it to one.
        """
        at = self._merged_from(rows.num_rows)
        every = _newest([*map(self._table, self.names[at:]), rows])
        self._write(every if at else _there(every), name)
        return Layers(self.place, self.bucket, (*self.names[:at], name))

    def _merged_from(self, rows: int) -> int:
        """The oldest file that a layer of so many rows is merged with; the number of files where it is with none."""
        sizes = [table.num_rows for table in self._users]
        for at, size in enumerate(sizes):
            # the golden ratio spreads the shares of buckets evenly
            share = LEAST_SHARE * (1 + 2 * (self.bucket * 0.618034 % 1)) if at == 0 else 1
            if sum(sizes[at + 1 :]) + rows > share * size:
                return at
        return len(sizes)

    def _write(self, rows: pa.Table, name: str) -> None:
        # under a name of its run, which nobody reads before the manifest names it
        with self.place.writing(name) as file:
            pq.write_table(
                rows, file, row_group_size=ROW_GROUP, compression={"user": "lz4"}, use_dictionary=["through", "ahead"],
                write_statistics=False,
            )  # fmt: skip

    def _table(self, name: str, columns: list[str] = SCHEMA.names, places: NDArray[np.int64] | None = None) -> pa.Table:
        """Columns of a file, or of its rows at ascending places."""
        with self._reading(name), self.place.reading(name) as opened, pq.ParquetFile(opened) as file:
            if places is None:
                return file.read(columns, use_threads=False).select(columns)
            groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            ends = np.cumsum(groups)
            of_group = np.searchsorted(ends, places, side="right")
            read, first = np.unique(of_group, return_inverse=True)
            begins = np.cumsum([0, *(groups[group] for group in read)])[:-1]
            local = places - (ends - groups)[of_group] + begins[first]
            return file.read_row_groups(read.tolist(), columns, use_threads=False).take(pa.array(local))

    def _reading(self, name: str) -> AbstractContextManager[None]:
        fix = f"remove {self.place}, and run propensity materialize: the profiles are rebuilt"
        return reading(f"{self.place}/{name}", fix=fix)


def _newest(files: Sequence[pa.Table]) -> pa.Table:
    """Of each user the row of the last file that has one."""
    rows = pa.concat_tables(files)
    if len(files) == 1:
        return rows
    users = rows["user"].combine_chunks().dictionary_encode()
    last = np.zeros(len(users.dictionary), dtype=np.int64)
    last[users.indices.to_numpy()] = np.arange(rows.num_rows)  # the last of several stays
    return rows.take(pa.array(np.sort(last)))


def _there(rows: pa.Table) -> pa.Table:
    """Rows without those that say that somebody is no longer there."""
    return rows.filter(rows["ahead"].is_valid()) if rows["ahead"].null_count else rows
