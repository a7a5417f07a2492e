"""Parts of the event store: Parquet files of one bucket's rows, sorted, that never change once they are named."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.errors import EventLogError
from features.event_store.manifest import Manifest, Part
from features.events.events import Events, Rows, merged
from features.identities.people import People
from features.reading.clocks import blocks_of
from features.system.arrow import arrow_of, numpy_of, texts_of
from features.system.files.durable import flush
from features.system.files.places import Place

ROW_GROUP = 65_536


@dataclass(frozen=True, slots=True)
class PartFiles:
    """Reads and writes parts.

    Attributes:
        folder: the store's.
        n_values: how many valued signals rows have.
        place: where the parts are: that folder, or another place.
        run: how the names of new ones begin.
    """

    folder: Path
    n_values: int
    place: Place
    run: str = ""

    @classmethod
    def of(cls, folder: Path, n_values: int, state: Manifest | None) -> "PartFiles":
        """Those of a store in a state; None before the first."""
        return cls(folder, n_values, place_of(folder, state))

    @classmethod
    def of_folder(cls, folder: Path, state: Manifest) -> "PartFiles":
        """Those of a store whose definition is not at hand: its parts say how many valued signals they have."""
        files = cls.of(folder, 0, state)
        names = files.names_of(state.parts[0]) if state.parts else []
        return replace(files, n_values=sum(re.fullmatch(r"v\d+", name) is not None for name in names))

    def read(self, parts: list[Part], *, ids: bool, users: Sequence[str] | None = None) -> Rows:
        """Read parts together, in no order; ids are 0 unless asked for; only of some users where they are named.

        Raises:
            EventLogError: a part is damaged or not whole; the error names it.
        """
        if not parts:
            return Rows.none(self.n_values)
        columns = [
            "user",
            "t",
            "wait",
            "mask",
            *(f"v{i}" for i in range(self.n_values)),
            *(["id", "file"] if ids else []),
        ]
        return rows_of(merged([self._table(part, columns, users) for part in parts]), self.n_values)

    def events(self, parts: list[Part], people: People, *, ends: int, users: Sequence[str] | None = None) -> Events:
        """Read parts of a bucket as events, without those of ids that were merged with others.

        Args:
            parts: of one bucket.
            people: who is who.
            ends: only what happened before this instant.
            users: only of these.

        Raises:
            EventLogError: as for `read`.
        """
        rows = self.read(parts, ids=False, users=users)
        if people:
            rows = rows.take(people.sets_of(pl.Series(rows.users, dtype=pl.String))[rows.codes] < 0)
        return (rows.sorted() if len(parts) > 1 else rows).events(ends, {})

    def column(self, part: Part, name: str) -> NDArray[np.int64]:
        """Read one column of a part, as `read` does."""
        return numpy_of(self._table(part, [name])[name])

    def users(self, part: Part) -> pl.Series:
        """Read the distinct users of a part, as `read` does."""
        return pl.Series("id", self._table(part, ["user"])["user"].unique(), dtype=pl.String)

    def names_of(self, part: Part) -> list[str]:
        """The names of a part's columns."""
        with self._opened(part) as parquet:
            return list(parquet.schema_arrow.names)

    @contextmanager
    def _opened(self, part: Part) -> Iterator[pq.ParquetFile]:
        """Open a part, without pyarrow's data sets, which import pandas.

        Raises:
            EventLogError: the part is damaged or gone.
            UnavailableError: the store that it is in does not answer.
        """
        try:
            with self.place.reading(part.name) as file, pq.ParquetFile(file, read_dictionary=["user"]) as parquet:
                yield parquet
        except (OSError, pa.ArrowException) as error:
            if self.place.is_store and isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                raise self.place.silent(error) from error
            raise EventLogError(
                f"the event store's {self.place}/{part.name} cannot be read: {error}.",
                fix=f"remove {self.folder}; it is rebuilt from the log",
            ) from error

    def _table(self, part: Part, columns: list[str], users: Sequence[str] | None = None) -> pa.Table:
        with self._opened(part) as parquet:
            table = _of_users(parquet, columns, users) if users is not None else _whole(parquet, columns)
            if lost := [name for name in columns if name not in table.column_names]:  # they are passed over
                raise pa.ArrowInvalid(f"it has no column {', '.join(lost)}")
        if users is None and table.num_rows != part.rows:
            raise EventLogError(
                f"the event store's {self.place}/{part.name} holds {table.num_rows:,} rows instead of {part.rows:,}.",
                fix=f"remove {self.folder}; it is rebuilt from the log",
            )
        return table

    def write(self, rows: Rows, bucket: int, written: str, position: int) -> list[Part]:
        """Write sorted rows as a part; no rows, no part.

        Args:
            rows: of one bucket, sorted.
            bucket: which.
            written: tells this part's file from others of the bucket.
            position: the position at which the newest of the rows came in.
        """
        if not len(rows.t):
            return []
        name = f"{self.run}bucket-{bucket:04d}-{written}-{position}.parquet"
        with self.place.writing(name) as file:
            _write(file, rows.table())
        self.place.keep(name)  # its name, with the manifest that lies beside it
        first, last = int(rows.t.min()), int(rows.t.max())
        return [Part(bucket=bucket, name=name, rows=len(rows.t), first=first, last=last, position=position,
                     blocks=blocks_of(rows.t))]  # fmt: skip


def place_of(folder: Path, state: Manifest | None) -> Place:
    """Where the parts of a store are: in its folder, or in one of the same name in an object store."""
    if state is None or not state.place:
        return Place(str(folder))
    return Place(state.place, "/".join(folder.parts[-3:]))  # of the definition, of events, of this store


def write_frame(path: Path, frame: pl.DataFrame) -> None:
    """Write a frame with users, as durably as a part."""
    _write(path, frame.to_arrow())
    flush(path)


#: how parts are written
STORED: Final = {"compression": "lz4", "use_dictionary": ["user", "file"], "write_statistics": ["user"]}


def _write(file: Any, table: pa.Table) -> None:
    pq.write_table(table, file, row_group_size=ROW_GROUP, **STORED)


def _whole(parquet: pq.ParquetFile, columns: list[str]) -> pa.Table:
    return parquet.read(columns, use_threads=False)


def _of_users(parquet: pq.ParquetFile, columns: list[str], users: Sequence[str]) -> pa.Table:
    """Rows of some users: rows are sorted by user, so that few groups of rows hold them."""
    asked = sorted(users)
    place, groups = parquet.schema_arrow.get_field_index("user"), []
    for group in range(parquet.num_row_groups):
        known = parquet.metadata.row_group(group).column(place).statistics
        at = bisect_left(asked, known.min) if known is not None and known.has_min_max else 0
        if known is None or not known.has_min_max or (at < len(asked) and asked[at] <= known.max):
            groups.append(group)
    table = parquet.read_row_groups(groups, columns=columns, use_threads=False)
    names = table["user"].combine_chunks()
    chosen = pc.is_in(names.dictionary, texts_of(asked).cast(names.dictionary.type)) if len(names.dictionary) else None
    return table.filter(chosen.take(names.indices)) if chosen is not None else table


def rows_of(table: pa.Table, n_values: int) -> Rows:
    """Rows of a part's table: ``visible`` from the wait, ids where they were asked for."""
    if "id" not in table.column_names:
        table = table.append_column("id", arrow_of(np.zeros(table.num_rows, dtype=np.int64)))
    return Rows.together([table], n_values)


def together(*runs: Rows) -> Rows:
    """Put runs of rows together, in their order."""
    return Rows.together([rows.table() for rows in runs], runs[0].values.shape[1])
