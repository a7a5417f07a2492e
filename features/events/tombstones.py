"""Tombstones: digests of erased users, by which nothing of them comes in again."""

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.events.hashing import hashed, hashed_names
from features.system.arrow import arrow_of
from features.system.files.durable import new_folder, write_durably
from features.system.files.kept_files import reading, sealed, unsealed

#: characters of a digest: 128 bits, so that nobody can choose an id that erases somebody else
_DIGEST = 32


def digest_of(user: str) -> str:
    """128 bits of a user's id, by SHA-256."""
    return sha256(user.encode()).hexdigest()[:_DIGEST]


class Tombstones:
    """Who was erased.

    Args:
        marks: one for each user: a 64-bit hash, by which rows are found quickly, and the digest that says whether they
            are the user's (``<hash>-<digest>``). Older ones are the hash alone, as a number.
    """

    def __init__(self, marks: Iterable[str | int] = ()) -> None:
        self.marks = frozenset(marks)
        self._digests: dict[int, set[str]] = {}
        for mark in self.marks:
            key, _, digest = (str(mark), "", "") if isinstance(mark, int) else mark.partition("-")
            self._digests.setdefault(int(key) if isinstance(mark, int) else _signed(key), set()).add(digest)
        #: the 64-bit hashes, ascending
        self.keys: NDArray[np.int64] = np.array(sorted(self._digests), dtype=np.int64)

    @property
    def digests(self) -> list[str]:
        """The digests, of those that have one."""
        return sorted(digest for some in self._digests.values() for digest in some if digest)

    @classmethod
    def of(cls, users: Sequence[str]) -> "Tombstones":
        """Those of some users."""
        keys = hashed_names(users).tolist()
        return cls(f"{key & 2**64 - 1:016x}-{digest_of(user)}" for key, user in zip(keys, users, strict=True))

    @classmethod
    def load(cls, folder: Path) -> "Tombstones":
        """Those beside the event stores of a log.

        Raises:
            StoreError: the file is damaged.
        """
        path = _path(folder)
        if not path.exists():
            return cls()
        with reading(
            path, fix=f"restore {path} from a backup: without it, events of erased users would be accepted again"
        ):
            return cls(_marks_in(json.loads(unsealed(path.read_bytes()))))

    def save(self, folder: Path) -> None:
        """Keep them beside the event stores of a log; every engine leaves these users out."""
        new_folder(folder)
        write_durably(_path(folder), sealed(json.dumps({"marks": sorted(self.marks, key=str)})))

    def __or__(self, other: "Tombstones") -> "Tombstones":
        return Tombstones(self.marks | other.marks)

    def __sub__(self, other: "Tombstones") -> "Tombstones":
        return Tombstones(self.marks - other.marks)

    def __bool__(self) -> bool:
        return bool(self.marks)

    def flags(self, users: pa.Array | pa.ChunkedArray, keys: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
        """Which of some users, who may be named several times, were erased.

        Args:
            users: their ids, text.
            keys: their hashes, where they are at hand.
        """
        if not self:
            return np.zeros(len(users), dtype=np.bool_)
        names = users if isinstance(users, pa.ChunkedArray) else pa.chunked_array([users])
        flags = np.isin(hashed(names) if keys is None else keys, self.keys)
        rows = np.flatnonzero(flags)
        found = names.take(arrow_of(rows)).to_pylist()
        erased = self.among(set(found))
        flags[rows] = [name in erased for name in found]
        return flags

    def among(self, users: Iterable[str]) -> set[str]:
        """Those of some users who were erased."""
        names = list(users)
        keys = hashed_names(names).tolist() if self else []
        return {name for key, name in zip(keys, names, strict=False) if self._is(key, name)}

    def _is(self, key: int, user: str) -> bool:
        digests = self._digests.get(key)
        return digests is not None and ("" in digests or digest_of(user) in digests)


def _signed(key: str) -> int:
    """A hash as NumPy has it."""
    value = int(key, 16)
    return value - 2**64 if value >= 2**63 else value


def _marks_in(content: object) -> list[str | int]:
    """The marks that a file holds; before there was a checksum, they were the whole of it.

    Raises:
        ValueError: there are none.
    """
    marks = content.get("marks") if isinstance(content, dict) else content
    if not isinstance(marks, list) or not all(isinstance(mark, str | int) for mark in marks):
        raise ValueError("it holds no list of tombstones")
    return marks


def _path(folder: Path) -> Path:
    return folder / "erased.json"


#: nobody
NOBODY = Tombstones()
