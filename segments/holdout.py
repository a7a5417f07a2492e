"""Holdout: a stable share of each segment's users who are left alone, so that what acting does can be measured."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.definition.dimension import RFM, STATES, Dimension
from features.definition.schema import Definition
from features.events.draws import evenly, salt, spread


class Holdout:
    """Who is held out of what: the same users on every machine and every day.

    Users who are held out of one dimension are not more likely to be held out of another.

    Args:
        definition: its name and shares.
    """

    def __init__(self, definition: Definition) -> None:
        segments = [Dimension.segment(name) for name in definition.segments]
        names = [STATES, RFM, *(Dimension.tier(name) for name in definition.outcomes), *segments]
        keys = salts_of(definition, names)
        shares = [held_out_share(definition, name) for name in names]
        self._place: Mapping[str, int] = {name: i for i, name in enumerate(names)}
        self._salts, self._shares = keys, np.array(shares)

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
        out: NDArray[np.bool_] = evenly(users, self._salts[at]) < self._shares[at]
        return out


def salts_of(definition: Definition, dimensions: Sequence[str]) -> NDArray[np.uint64]:
    """What makes a draw another one for each dimension."""
    return salt([f"{definition.name}\x00{name}" for name in dimensions])


def held_out_among(keys: NDArray[np.uint64], definition: Definition, dimension: str, share: float) -> NDArray[np.bool_]:
    """Whether each user is held out of a dimension, which need not be in the definition yet.

    Args:
        keys: 64 bits of each user, see `features.events.draws.salt`.
        definition: its name.
        dimension: such as ``segments.<name>``.
        share: of the users who are held out.
    """
    out: NDArray[np.bool_] = spread(keys ^ salts_of(definition, [dimension])[0]) < share
    return out


def held_out_share(definition: Definition, dimension: str) -> float:
    """The share of a dimension's users who are held out of it: its own, or ``transitions.holdout``."""
    rule = definition.segments.get(Dimension(dimension).of) if Dimension(dimension).kind == "segments" else None
    own = rule.holdout if rule is not None else definition.transitions.holdouts.get(dimension)
    return definition.transitions.holdout if own is None else own
