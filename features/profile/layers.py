"""The files of a bucket of the kept profiles: a base, and layers of what changed since; a user's newest row counts.

A run writes a layer of the users that changed, and merges it with those before it that are no larger: so a row is
written again as often as layers double, not as often as there are days. Layers that have grown to a share of their base
are merged into it.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features.rows import INSTANT
from features.system.files.durable import replacing
from features.system.files.kept_files import reading

#: what a file holds; ``ahead`` is the first cutoff that sees an event not folded in yet, null of a user who is no
#: longer there; ``profile`` what the online store holds, null before anything of the user can be seen
SCHEMA = pl.Schema({"user": pl.String(), "through": INSTANT, "ahead": pl.Int64(), "profile": pl.Binary()})

#: rows read at once; profiles of a few users are read without most others
ROW_GROUP = 512

#: layers of this share of their base, and of up to three times as much, are merged into it: buckets in turn, so that
#: no day merges all of them
LEAST_SHARE = 0.125


def nobody(users: Iterable[str], through: int) -> pl.DataFrame:
    """Rows that say that users are no longer there, `SCHEMA`."""
    gone = pl.DataFrame({"user": list(users)}, schema={"user": pl.String})
    at = pl.lit(through).cast(INSTANT)
    return gone.with_columns(through=at, ahead=pl.lit(None, pl.Int64), profile=pl.lit(None, pl.Binary))


@dataclass(frozen=True)
class Layers:
    """The files of one bucket.

    Attributes:
        folder: where they are.
        bucket: which bucket.
        names: the base, then layers, oldest first; none for a bucket that was never written.
    """

    folder: Path
    bucket: int
    names: tuple[str, ...] = ()

    @cached_property
    def index(self) -> pl.DataFrame:
        """Of each user the newest row: ``user``, ``ahead``, and the ``layer`` and ``place`` where it is.

        Raises:
            StoreError: a file is damaged; the error names it.
        """
        frames = [
            self._frame(name, ["user", "ahead"]).with_row_index("place").with_columns(layer=pl.lit(at, pl.UInt32()))
            for at, name in enumerate(self.names)
        ]
        if not frames:
            return pl.DataFrame(schema={"user": pl.String, "ahead": pl.Int64, "place": pl.UInt32, "layer": pl.UInt32})
        return _there(_newest(frames))

    def rows(self) -> pl.DataFrame:
        """All users' rows, `SCHEMA`.

        Raises:
            StoreError: as `index`.
        """
        return _there(_newest([SCHEMA.to_frame(), *(self._frame(name, SCHEMA.names()) for name in self.names)]))

    def rows_of(self, users: Iterable[str]) -> pl.DataFrame:
        """The rows of some users, `SCHEMA`.

        Raises:
            StoreError: as `index`.
        """
        asked = pl.Series(list(users), dtype=pl.String)
        some = self.index.filter(pl.col("user").is_in(asked.implode()))
        found = [SCHEMA.to_frame()]
        for at, name in enumerate(self.names):
            places = some.filter(pl.col("layer") == at)["place"].sort().to_numpy()
            if places.size:
                found.append(self._frame(name, SCHEMA.names(), places))
        return pl.concat(found)

    def with_rows(self, rows: pl.DataFrame, name: str) -> "Layers":
        """Write users' rows as a new layer, or merged with older ones.

        Args:
            rows: `SCHEMA`; each user once.
            name: of the new file; no other run may have given it to one.
        """
        at = self._merged_from(len(rows))
        older = [self._frame(file, SCHEMA.names()) for file in self.names[at:]]
        every = _newest([*older, rows])
        self._write(every if at else _there(every), name)
        return Layers(self.folder, self.bucket, (*self.names[:at], name))

    def _merged_from(self, rows: int) -> int:
        """The oldest file that a layer of so many rows is merged with; the number of files where it is with none."""
        sizes = [self._size(name) for name in self.names]
        for at, size in enumerate(sizes):
            # the golden ratio spreads the shares of buckets evenly
            share = LEAST_SHARE * (1 + 2 * (self.bucket * 0.618034 % 1)) if at == 0 else 1
            if sum(sizes[at + 1 :]) + rows > share * size:
                return at
        return len(sizes)

    def _write(self, rows: pl.DataFrame, name: str) -> None:
        with replacing(self.folder / name, durable=False) as fresh:
            pq.write_table(
                rows.to_arrow(compat_level=pl.CompatLevel.oldest()), fresh, row_group_size=ROW_GROUP,
                compression={"user": "lz4"}, use_dictionary=["through", "ahead"], write_statistics=False,
            )  # fmt: skip

    def _size(self, name: str) -> int:
        with self._reading(name):
            return int(pq.read_metadata(self.folder / name).num_rows)

    def _frame(self, name: str, columns: list[str], places: np.typing.NDArray[np.uint32] | None = None) -> pl.DataFrame:
        """Columns of a file, or of its rows at ascending places."""
        with self._reading(name), pq.ParquetFile(self.folder / name) as file:
            if places is None:
                found = file.read(columns, use_threads=False)
            else:
                groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
                ends = np.cumsum(groups)
                of_group = np.searchsorted(ends, places, side="right")
                read, first = np.unique(of_group, return_inverse=True)
                begins = np.cumsum([0, *(groups[group] for group in read)])[:-1]
                local = places - (ends - groups)[of_group] + begins[first]
                found = file.read_row_groups(read.tolist(), columns, use_threads=False).take(pa.array(local))
            return pl.DataFrame(found).select(columns)

    def _reading(self, name: str) -> AbstractContextManager[None]:
        fix = f"remove {self.folder}, and run propensity materialize: the profiles are rebuilt"
        return reading(self.folder / name, fix=fix)


def _newest(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Of each user the row of the last frame that has one."""
    every = pl.concat(frames)
    return every.unique("user", keep="last", maintain_order=True) if len(frames) > 1 else every


def _there(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows without those that say that somebody is no longer there."""
    return rows.filter(pl.col("ahead").is_not_null())
