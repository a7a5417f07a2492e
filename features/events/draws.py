"""Numbers in [0, 1) that are a user's own, the same on every machine and in every version: holdouts, samples, splits.

Three of them, because splits, samples and holdouts that exist keep their values.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features.events.hashing import hashed, hashed_names
from features.events.sort import hash_numbers
from features.time import Instants


def evenly(names: Sequence[str], salts: NDArray[np.uint64] | None = None) -> NDArray[np.float64]:
    """A number for each name, even whatever the names: the finalizer of SplitMix64 (Steele et al. 2014).

    Args:
        names: of users, or of anything else.
        salts: for each name, what makes another number of it; see `salt`.
    """
    return spread(salt(names) if salts is None else salt(names) ^ salts)


def spread(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """A number for each 64 bits; see `evenly`."""
    with np.errstate(over="ignore"):
        z = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def salt(names: Sequence[str]) -> NDArray[np.uint64]:
    """64 bits of each name."""
    return hashed_names(names).view(np.uint64)


def draw(users: pl.Series, cutoffs: Instants) -> NDArray[np.float64]:
    """A number for each user and cutoff."""
    keys = hashed(pa.chunked_array([users.to_arrow()]))
    return np.asarray(hash_numbers(keys, cutoffs) / 2.0**63)


def redrawn(users: pl.Series, cutoffs: Instants, seed: int) -> NDArray[np.float64]:
    """Another number for each user and cutoff, independent of `draw` and of those of other seeds."""
    keys = hashed(pa.chunked_array([users.to_arrow()]))
    return spread(hash_numbers(keys, cutoffs).view(np.uint64) ^ salt([f"rows {seed}"])[0])


def share_of(users: pl.Series, seed: int) -> pl.Series:
    """A number for each user and seed."""

    def number(user: str) -> float:
        return int.from_bytes(blake2b(f"{seed}:{user}".encode(), digest_size=8).digest(), "big") / 2**64

    each = users.unique()
    return users.replace_strict(each, [number(user) for user in each], return_dtype=pl.Float64)
