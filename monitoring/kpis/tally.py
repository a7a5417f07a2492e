"""Counting users by group and period, so that the counts of any two runs of users can be added up."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.events.events import Events
from features.time import Instants

#: counts of some users: of which group, of what, and at which place of a table
TALLY = pl.Schema({"group": pl.Int64(), "kind": pl.String(), "at": pl.Int64(), "amount": pl.Float64()})


@dataclass(frozen=True, slots=True)
class Groups:
    """Which groups each user of a run belongs to; everybody is group 0.

    Attributes:
        count: how many groups there are.
        starts: user ``u`` is in the groups ``codes[starts[u]:starts[u + 1]]``.
        codes: the groups of all users, one user after the other.
    """

    count: int
    starts: NDArray[np.int64]
    codes: NDArray[np.int64]

    @classmethod
    def of(cls, events: Events, members: pl.DataFrame, count: int) -> "Groups":
        """The groups of the users of some events.

        Args:
            events: theirs.
            members: columns ``user`` and ``group``, a number from 1 on.
            count: how many groups there are, with everybody.
        """
        places = pl.DataFrame({"user": events.users, "place": np.arange(len(events.users), dtype=np.int64)})
        inside = places.join(members, on="user").select("place", "group")
        every = places.select("place", group=pl.lit(0, dtype=pl.Int64))
        both = pl.concat([every, inside]).sort("place", "group")
        sizes = np.bincount(both["place"].to_numpy(), minlength=len(places))
        return cls(count, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), both["group"].to_numpy())

    def spread(self, owner: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Repeat rows of users for each of their groups: which row, and which group."""
        sizes = np.diff(self.starts)[owner]
        rows = np.repeat(np.arange(owner.size), sizes)
        within = np.arange(rows.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return rows, self.codes[self.starts[owner][rows] + within]


class Tally:
    """Counts of the users of a run.

    Args:
        groups: the groups of each user.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._parts: list[pl.DataFrame] = []

    def add(
        self, kind: str, owner: NDArray[np.int64], at: Instants, span: int, amount: NDArray[np.float64] | None = None
    ) -> None:
        """Count rows at their places.

        Args:
            kind: what is counted.
            owner: of each row the user.
            at: of each row the place, in ``[0, span)``; rows outside it are left out.
            span: how many places there are.
            amount: of each row; 1 where left out.
        """
        inside = np.flatnonzero((at >= 0) & (at < span))
        rows, codes = self._groups.spread(owner[inside])
        weights = None if amount is None else amount[inside][rows]
        sums = np.bincount(codes * span + at[inside][rows], weights, minlength=self._groups.count * span)
        found = np.flatnonzero(sums)
        columns = {"group": found // span, "kind": [kind] * found.size, "at": found % span, "amount": sums[found]}
        self._parts.append(pl.DataFrame(columns, schema=TALLY))

    def frame(self) -> pl.DataFrame:
        """All counts that are not 0: `TALLY`."""
        return pl.concat([TALLY.to_frame(), *self._parts])
