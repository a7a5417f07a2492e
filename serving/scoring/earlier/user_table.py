"""Numbers by user, on disk: those of a few are looked up among everybody's."""

import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features.errors import UnavailableError
from features.events.hashing import hashed

#: rows that are sorted at once, and rows that are collected before they are put where they belong: so few pages of the
#: file are written at a time, and each of them not often
_SORTED, _COLLECTED = 1 << 16, 1 << 18

#: bytes written at once
_BLOCK = 1 << 20


class UserTable:
    """Columns of 64 bits by user, sorted by the hash of the user, in a file without a name that goes with the process.

    Memory holds some parts while the table is made, and then the pages that a look-up touches: the rest is the system's
    cache of files. Two users are taken for one where 127 bits of their hashes are the same.

    Args:
        file: the two halves of a user's hash, and values: ``[2 + values, users]``; None where there are no users.
        values: number of columns.
        users: number of rows.
    """

    def __init__(self, file: IO[bytes] | None = None, values: int = 0, users: int = 0) -> None:
        self._file, self._shape = file, (2 + values, users)
        if file is not None:
            weakref.finalize(self, file.close)

    @classmethod
    def of(cls, folder: Path, parts: Sequence[Callable[[], pl.LazyFrame]], values: Sequence[pl.Expr]) -> "UserTable":
        """Write a table: users are counted by the first bits of their hash, then put by them, and sorted.

        Args:
            folder: where the file lies.
            parts: scan rows with ``user_id``, each user in one.
            values: columns of 64 bits, without null.

        Raises:
            UnavailableError: the disk is full, or may not be written.
        """
        users = sum(part().select(pl.len()).collect().item() for part in parts)
        if not users:
            return cls(values=len(values))
        bits = (users // _SORTED).bit_length()
        counts = np.zeros(1 << bits, dtype=np.int64)
        for part in parts:
            keys = _keys(part().select("user_id").collect().to_series())
            counts += np.bincount(keys >> (63 - bits), minlength=counts.size)
        table = cls(_zeros(folder, 8 * (2 + len(values)) * users), len(values), users)
        free = counts.cumsum() - counts
        for rows in _collected(_rows(part().select("user_id", *values).collect()) for part in parts):
            table._put(rows, free, bits)
        for lo, hi in pairwise([0, *free.tolist()]):
            some = table._mapped()[:, lo:hi]
            some[:] = some[:, np.argsort(some[0], kind="stable")]
        return table

    def rows(self, users: Sequence[str]) -> tuple[list[int], NDArray[np.int64]]:
        """Which of some users, by number, are in the table, and their values: ``[values, those users]``."""
        names, columns = pl.Series(users, dtype=pl.String), self._mapped()
        keys, checks = _keys(names), _checks(names)
        first, end = (np.searchsorted(columns[0], keys, side).tolist() for side in ("left", "right"))
        there = [(i, at) for i in range(len(users)) for at in range(first[i], end[i]) if columns[1, at] == checks[i]]
        return [i for i, _ in there], columns[2:, [at for _, at in there]]

    def _put(self, rows: NDArray[np.int64], free: NDArray[np.int64], bits: int) -> None:
        """Put rows where those of their first bits belong; ``free`` is the first free place of each."""
        rows = rows[:, np.argsort(rows[0])]
        groups = rows[0] >> (63 - bits)
        counts = np.bincount(groups, minlength=free.size)
        places = np.arange(groups.size) + (free - counts.cumsum() + counts)[groups]
        for lo in range(0, groups.size, _SORTED):
            self._mapped()[:, places[lo : lo + _SORTED]] = rows[:, lo : lo + _SORTED]
        free += counts

    def _mapped(self) -> NDArray[np.int64]:
        """The columns; what was touched of them is in memory until the array is gone."""
        if self._file is None:
            return np.zeros(self._shape, dtype=np.int64)
        return np.asarray(np.memmap(self._file, np.int64, "r+", shape=self._shape))


def _rows(frame: pl.DataFrame) -> NDArray[np.int64]:
    users, *values = frame.get_columns()
    return np.stack([_keys(users), _checks(users), *(value.to_numpy().view(np.int64) for value in values)])


def _collected(parts: Iterable[NDArray[np.int64]]) -> Iterator[NDArray[np.int64]]:
    """Rows of several parts together."""
    held: list[NDArray[np.int64]] = []
    for part in parts:
        held.append(part)
        if sum(one.shape[1] for one in held) >= _COLLECTED:
            yield np.concatenate(held, axis=1)
            held = []
    if held:
        yield np.concatenate(held, axis=1)


def _zeros(folder: Path, size: int) -> IO[bytes]:
    """A file without a name, written whole: a full disk is an error here, and would end the process once mapped."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            for written in range(0, size, _BLOCK):
                file.write(bytes(min(_BLOCK, size - written)))
            file.flush()
        except OSError as error:
            raise UnavailableError(
                f"{size:,} bytes cannot be written in {folder}: {error.strerror}.",
                fix="make room there, or correct the rights: earlier answers of users are looked up on disk",
            ) from error
        stack.pop_all()
        return file


def _keys(users: pl.Series) -> NDArray[np.int64]:
    """63 bits of each user, by which rows are sorted."""
    return hashed(pa.chunked_array([users.to_arrow()])) & 0x7FFF_FFFF_FFFF_FFFF


def _checks(users: pl.Series) -> NDArray[np.int64]:
    """64 other bits of each user."""
    return users.hash().to_numpy().view(np.int64)
