"""The files of a population: which they are, and one column of all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.errors import StoreError
from features.events.hashing import hashed
from features.events.write import part_files
from features.expressions.values import Numbers, Texts
from features.system.kept_files import reading
from serving.scoring.population import CUTOFF, DEFINITION

#: what tells a file from another one in its place: its name, when it was written, its size
Stamp: TypeAlias = tuple[tuple[str, int, int], ...]

#: a column in memory: values for rules, or ids of users
Column: TypeAlias = Numbers | Texts | pl.Series | NDArray[np.uint64]

#: columns that are read as ids, not as values
IDS = ("user_id", "drawn_as")


class ChangedError(Exception):
    """The files are others than a moment before: a newer batch came, or somebody was erased."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a population.

    Attributes:
        path: their folder.
        stamp: which they are.
        rows: how many users are in each.
        cutoff: the instant they speak of.
        definition: name and digest of the definition they were made with.
        columns: what they hold.
    """

    path: Path
    stamp: Stamp
    rows: tuple[int, ...]
    cutoff: int
    definition: str
    columns: frozenset[str]

    @classmethod
    def opened(cls, path: Path) -> "Files":
        """Those of a folder.

        Raises:
            ChangedError: they have just changed.
            StoreError: one is damaged.
        """
        stamp = stamp_of(path)
        with _reading(path, stamp):
            footers = [pq.ParquetFile(path / name) for name, _, _ in stamp]
            if not footers:
                raise ValueError("the folder has no files")
            said = footers[0].metadata.metadata or {}
            if CUTOFF not in said or DEFINITION not in said:
                raise ValueError("it does not say of which instant it is")
            rows = tuple(footer.metadata.num_rows for footer in footers)
            columns = frozenset(footers[0].schema_arrow.names)
            return cls(path, stamp, rows, int(said[CUTOFF]), said[DEFINITION].decode(), columns)

    def column(self, name: str, *, text: bool) -> Column:
        """A column of all users.

        Args:
            name: one of `columns`.
            text: whether it is of texts.

        Raises:
            ChangedError: the files have just changed.
            StoreError: one is damaged.
        """
        dictionary = [name] if text and name not in IDS else []
        with _reading(self.path, self.stamp):
            parts = [
                pq.read_table(self.path / file, columns=[name], partitioning=None, read_dictionary=dictionary)[name]
                for file, _, _ in self.stamp
            ]
            if tuple(len(part) for part in parts) != self.rows:
                raise ValueError(f"{name} has another number of rows than there are users")
            whole = pa.chunked_array([chunk for part in parts for chunk in part.chunks], type=parts[0].type)
            if name in IDS:
                return pl.Series(whole.cast(pa.large_string()))
            return _texts(whole) if dictionary else _numbers(whole)

    def keys(self) -> NDArray[np.uint64]:
        """64 bits of each user, of which holdouts are drawn; see `segments.holdout.held_out_among`.

        Raises:
            ChangedError: the files have just changed.
            StoreError: one is damaged.
        """
        users, drawn = (self.column(name, text=True) for name in IDS)
        if not isinstance(users, pl.Series) or not isinstance(drawn, pl.Series):
            raise TypeError("ids are columns of text")
        names = drawn.zip_with(drawn.is_not_null(), users)
        return hashed(pa.chunked_array([names.to_arrow()])).view(np.uint64)


def stamp_of(path: Path) -> Stamp:
    """Which files a folder has; what goes meanwhile is left out."""
    found = []
    for file in part_files(path):
        try:
            status = file.stat()
        except FileNotFoundError:  # a newer batch removes older ones
            continue
        found.append((file.name, status.st_mtime_ns, status.st_size))
    return tuple(found)


@contextmanager
def _reading(path: Path, stamp: Stamp) -> Iterator[None]:
    """Read files: an error is no damage when they are others by now."""
    try:
        with reading(path, fix=f"remove {path}; propensity score writes it again"):
            yield
    except StoreError as error:
        if stamp_of(path) != stamp or not path.exists():
            raise ChangedError from error
        raise


def _texts(whole: pa.ChunkedArray) -> Texts:
    """Texts of several files, whose dictionaries are put together."""
    if not len(whole):
        return Texts(np.zeros(0, dtype=np.int64), ())
    one = pa.concat_arrays(whole.unify_dictionaries().chunks)
    codes = one.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return Texts(codes, tuple(one.dictionary.to_pylist()))


def _numbers(whole: pa.ChunkedArray) -> Numbers:
    parts = [chunk.to_numpy(zero_copy_only=False) for chunk in whole.chunks]
    return np.concatenate(parts) if parts else np.zeros(0)
