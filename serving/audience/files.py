"""The files of a population: which they are, and one column of all of them."""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.events.hashing import hashed
from features.expressions.values import Numbers, Texts
from features.system.files.kept_files import reading
from features.system.files.opened import Stamp, opened, path_of
from features.system.parallel import each
from serving.scoring.population import CUTOFF, DEFINITION, RULES

#: a column in memory: values for rules, or ids of users
Column: TypeAlias = Numbers | Texts | pl.Series | NDArray[np.uint64]

#: columns of ids: of the user, and by which the holdout is drawn, where that is another
IDS = ("user_id", "drawn_as")

#: the name of what is made of them
KEYS = "keys of holdouts"


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a population, opened: what takes their place later is another population.

    Attributes:
        path: their folder.
        stamp: which they are.
        opened_files: the files.
        cutoff: the instant they speak of.
        definition: name and digest of the definition they were made with.
        columns: what they hold.
        rules: by dimension, a digest of its rule; empty where an earlier version of this program wrote the files.
    """

    path: Path
    stamp: Stamp
    opened_files: tuple[pq.ParquetFile, ...]
    cutoff: int
    definition: str
    columns: frozenset[str]
    rules: Mapping[str, str]

    @classmethod
    def opened(cls, path: Path, texts: Collection[str]) -> "Files":
        """Those of a folder.

        Args:
            path: the folder.
            texts: columns of text, of those there may be.

        Raises:
            StoreError: one is damaged.
            UnavailableError: they were removed just now.
        """
        with opened(path) as found, _reading(path):
            # what each says of its two hundred columns is read once: that takes longer than a column
            files = tuple(pq.ParquetFile(path_of(file), read_dictionary=list(texts)) for file in found.files)
            if not files:
                raise ValueError("the folder has no files")
            metadata = files[0].metadata.metadata or {}
            if CUTOFF not in metadata or DEFINITION not in metadata:
                raise ValueError("it does not say of which instant it is")
            columns = frozenset(files[0].schema_arrow.names)
            cutoff, rules = int(metadata[CUTOFF]), json.loads(metadata.get(RULES, b"{}"))
            return cls(path, found.stamp, files, cutoff, metadata[DEFINITION].decode(), columns, rules)

    @property
    def count(self) -> int:
        """How many users there are."""
        return sum(file.metadata.num_rows for file in self.opened_files)

    def read(self, names: Sequence[str]) -> dict[str, Column]:
        """Columns of all users; `KEYS` are 64 bits of each, of which holdouts are drawn.

        Args:
            names: some of `columns`, and `KEYS`.

        Raises:
            StoreError: one is damaged.
        """
        stored = dict.fromkeys(name for wanted in names for name in (IDS if wanted == KEYS else (wanted,)))
        with _reading(self.path):
            parts = list(each(self.opened_files, lambda file: file.read(columns=list(stored), use_threads=False)))
            if any(len(part) != file.metadata.num_rows for part, file in zip(parts, self.opened_files, strict=True)):
                raise ValueError("there are more or fewer values than users")
            found: dict[str, Column] = {}
            for name in names:
                if name == KEYS:
                    found[name] = _keys(*(_whole(parts, one) for one in IDS))
                else:
                    found[name] = _column(_whole(parts, name))
            return found


def _whole(parts: Sequence[pa.Table], name: str) -> pa.ChunkedArray:
    """A column of all files."""
    columns = [part[name] for part in parts]
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks], type=columns[0].type)


def _column(whole: pa.ChunkedArray) -> Column:
    if pa.types.is_dictionary(whole.type):
        return _texts(whole)
    return _numbers(whole) if pa.types.is_floating(whole.type) else pl.Series(whole)


def _keys(users: pa.ChunkedArray, drawn: pa.ChunkedArray) -> NDArray[np.uint64]:
    """64 bits of each user, or of the id by which the holdout is drawn."""
    return hashed(pc.coalesce(drawn, users)).view(np.uint64)


def _reading(path: Path) -> AbstractContextManager[None]:
    return reading(path, fix=f"remove {path}; propensity score writes it again")


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
