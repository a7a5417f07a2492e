"""A table whose rows are worked on with the events of their users, as executors see it: by bucket."""

from dataclasses import dataclass
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from features.events.hashing import bucket_of, hashed
from features.system.files.places import Place

#: the place of a row in the table
ROW: Final = "row"


@dataclass(frozen=True, slots=True)
class Table:
    """Such a table.

    Attributes:
        place: has the rows of each bucket in a file.
        none: its columns, ``user`` among them, and `ROW`; without rows.
    """

    place: Place
    none: pl.DataFrame

    @classmethod
    def write(cls, table: pl.DataFrame, buckets: int, place: Place) -> "Table":
        """Write a table."""
        rows = table.with_row_index(ROW).cast({ROW: pl.Int64})
        places = bucket_of(hashed(pa.chunked_array([rows["user"].to_arrow()])), buckets)
        parts = rows.with_columns(bucket=pl.Series(places)).partition_by("bucket", as_dict=True, include_key=False)
        for (bucket,), part in parts.items():
            place.write(_name(int(bucket)), part)
        return cls(place, rows.clear())

    def of(self, bucket: int) -> pl.DataFrame:
        """The rows of a bucket's users, in their order, with `ROW`."""
        try:
            with self.place.reading(_name(bucket)) as file:
                return pl.DataFrame(pl.read_parquet(file.read()))
        except FileNotFoundError:
            return self.none

    def between(self, rows: pl.DataFrame) -> pa.Table:
        """Rows of it as they lie between those of events, which have no `ROW`."""
        names = {name: f"beside{i}" for i, name in enumerate(self._columns)}
        return rows.select("user", ROW, *self._columns).rename(names).to_arrow()

    def parted(self, table: pa.Table) -> tuple[pa.Table, pl.DataFrame]:
        """The rows of events, and those of it between them, in its order."""
        names, is_row = [f"beside{i}" for i in range(len(self._columns))], pc.is_valid(table[ROW])
        rows = pl.DataFrame(table.filter(is_row).select(["user", ROW, *names])).sort(ROW)
        events = table.filter(pc.invert(is_row)).drop_columns([ROW, *names])
        return events, rows.rename(dict(zip(names, self._columns, strict=True))).select(self.none.drop(ROW).columns)

    @property
    def _columns(self) -> list[str]:
        return [name for name in self.none.columns if name not in ("user", ROW)]


def _name(bucket: int) -> str:
    return f"beside-{bucket:05d}.parquet"
