"""Holdout: a stable share of each segment's users who are left alone, so that what acting does can be measured."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.events.hashing import hashed_names


class Holdout:
    """Who is held out of what: the same users on every machine and every day.

    Whoever is held out of one dimension is not more likely to be of another.

    Args:
        definition: its name and shares.
    """

    def __init__(self, definition: Definition) -> None:
        share = definition.transitions.holdout
        own = {f"segments.{name}": rule.holdout for name, rule in definition.segments.items()}
        names = ["states", "rfm", *(f"tiers.{name}" for name in definition.asked), *own]
        keys = _keys([f"{definition.name}\x00{name}" for name in names])
        shares = [share if (given := own.get(name)) is None else given for name in names]
        self._place: Mapping[str, int] = {name: i for i, name in enumerate(names)}
        self._keys, self._shares = keys, np.array(shares)

    @property
    def known(self) -> Mapping[str, int]:
        """The dimensions there are."""
        return self._place

    def of(self, users: Sequence[str], dimensions: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each user is held out of the dimension beside them.

        Args:
            users: ids.
            dimensions: as many, each ``segments.<name>``, ``states``, ``rfm`` or ``tiers.<outcome>``.
        """
        if not len(users):
            return np.zeros(0, dtype=np.bool_)
        at = np.array([self._place[name] for name in dimensions])
        out: NDArray[np.bool_] = _even(_keys(users) ^ self._keys[at]) < self._shares[at]
        return out


def evenly(names: Sequence[str]) -> NDArray[np.float64]:
    """A number in ``[0, 1)`` for each name, the same on every machine and day, and even whatever the names."""
    return _even(_keys(names))


def _keys(names: Sequence[str]) -> NDArray[np.uint64]:
    return hashed_names(names).view(np.uint64)


def _even(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Numbers in ``[0, 1)`` that are even whatever the keys: the finalizer of SplitMix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / float(1 << 53)
