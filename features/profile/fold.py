"""From events to feature rows: the kernel over runs of users; `Log.map` brings the runs to all cores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.events.events import Events
from features.expressions.values import Texts
from features.profile.kernel.users import fold_profiles, fold_users, read_profiles
from features.profile.layout import NEVER, Layout, Words, layout_of
from features.rows import FeatureRows, rows_of
from features.system.compiled import for_reading
from features.time import Instants


@dataclass(frozen=True, slots=True)
class Reading:
    """Which cutoffs each user is read at.

    Attributes:
        cutoffs: instants, ascending within each user's range.
        lo: user ``u`` is read at ``cutoffs[lo[u]:hi[u]]``.
        hi: end of that range.
    """

    cutoffs: Instants
    lo: NDArray[np.int64]
    hi: NDArray[np.int64]

    @property
    def row_at(self) -> NDArray[np.int64]:
        """The first row of each user, and the number of rows at the end."""
        return np.concatenate([[0], np.cumsum(self.hi - self.lo)])

    def of_users(self, lo: int, hi: int) -> "Reading":
        """The part for the users ``[lo, hi)``."""
        return Reading(self.cutoffs, self.lo[lo:hi], self.hi[lo:hi])


def read_all_at(events: Events, cutoffs: Instants) -> Reading:
    """Read every user at the same ascending cutoffs, from the first one that sees an event of theirs."""
    if np.any(np.diff(cutoffs) <= 0):
        raise ValueError("cutoffs must ascend without repeats")
    first = np.minimum.reduceat(events.visible, events.starts[:-1])
    lo = np.searchsorted(cutoffs, first)
    if events.spans is None:
        return Reading(cutoffs, lo, np.full(lo.size, cutoffs.size, dtype=np.int64))
    lo = np.maximum(lo, np.searchsorted(cutoffs, events.spans.since))
    return Reading(cutoffs, lo, np.maximum(lo, np.searchsorted(cutoffs, events.spans.until)))


def read_each_at(events: Events, asked: pl.DataFrame) -> Reading:
    """Read each user at cutoffs of their own.

    Args:
        events: the log.
        asked: columns ``user`` and ``cutoff`` (microseconds); pairs that see no event yield no row.
    """
    index = pl.DataFrame({"user": events.users, "u": np.arange(len(events.users), dtype=np.int64)})
    pairs = asked.select("user", "cutoff").unique().join(index, on="user").sort("u", "cutoff")
    u, cutoffs = pairs["u"].to_numpy(), pairs["cutoff"].to_numpy()
    first = np.minimum.reduceat(events.visible, events.starts[:-1])
    seen = cutoffs >= first[u]
    if events.spans is not None:
        seen &= (cutoffs >= events.spans.since[u]) & (cutoffs < events.spans.until[u])
    u, cutoffs = u[seen], cutoffs[seen]
    users = np.arange(len(events.users))
    return Reading(cutoffs, np.searchsorted(u, users), np.searchsorted(u, users, side="right"))


#: about how many rows are in memory at once
ROWS = 100_000


def fold_rows(events: Events, reading: Reading, definition: Definition) -> Iterator[FeatureRows]:
    """Yield feature rows for each run of users; counts and values over ``[floor_day(c - w), c)``."""
    layout, row_at = layout_of(definition), reading.row_at
    # whole users, as many as yield about so many rows
    marks = np.searchsorted(row_at, np.arange(0, max(int(row_at[-1]), 1), ROWS), side="left")
    bounds = np.unique(np.append(marks, len(events.users)))
    for lo, hi in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        yield _fold_run(events, reading, definition, layout, lo, hi)


def feature_rows(events: Events, reading: Reading, definition: Definition) -> Iterator[pl.DataFrame]:
    """Yield the rows of `fold_rows` as frames: ``user``, ``cutoff`` (UTC) and the numeric feature set."""
    return (rows.frame() for rows in fold_rows(events, reading, definition))


def _fold_run(
    events: Events, reading: Reading, definition: Definition, layout: Layout, lo: int, hi: int
) -> FeatureRows:
    part = reading.of_users(lo, hi)
    row_at = part.row_at
    out = np.empty((len(feature_set(definition).numeric), row_at[-1]))
    read_at = map(for_reading, (part.cutoffs, part.lo, part.hi, row_at))
    fold_users(layout, layout.size, *_columns(events, lo, hi), *read_at, out)
    rows = part.hi - part.lo
    owner = np.repeat(np.arange(lo, hi), rows)
    which = np.arange(row_at[-1]) - np.repeat(row_at[:-1] - part.lo, rows)
    return rows_of(definition, events.users.gather(owner), part.cutoffs[which], out.T)


def profiles_at(events: Events, cutoff: int, layout: Layout, *, chunk: int = 4_000) -> Iterator[tuple[int, Words]]:
    """Yield profiles of what is visible at a cutoff: the index of the first user, and ``[users, words]``."""
    for lo in range(0, len(events.users), chunk):
        hi = min(lo + chunk, len(events.users))
        words = np.zeros((hi - lo, layout.size), dtype=np.int64)
        fold_into(events, lo, hi, cutoff, layout, words, np.full(hi - lo, NEVER))
        yield lo, words


def fold_into(events: Events, lo: int, hi: int, cutoff: int, layout: Layout, words: Words, ahead: Instants) -> None:
    """Fold the events of users ``[lo, hi)`` that are visible at a cutoff into their profiles ``words[u - lo]``.

    ``ahead[u - lo]`` becomes the first cutoff that sees an event left out now, where that is earlier than it was.
    """
    fold_profiles(layout, *_columns(events, lo, hi), cutoff, words, ahead)


def _columns(events: Events, lo: int, hi: int) -> tuple[NDArray[np.generic], ...]:
    """Where users ``[lo, hi)`` begin, and the events' columns, as the kernel reads them."""
    starts = for_reading(events.starts[lo : hi + 1])
    columns = (events.t, events.visible, events.mask)
    return starts, *map(for_reading, columns), for_reading(events.values)


def profile_rows(
    users: Sequence[str],
    words: Words,
    cutoffs: Instants,
    definition: Definition,
    traits: Mapping[str, Texts] = MappingProxyType({}),
) -> FeatureRows:
    """Read stored profiles: ``words[u]`` at ``cutoffs[u]``; the same numbers as `fold_rows` at those cutoffs."""
    layout = layout_of(definition)
    out = np.empty((len(feature_set(definition).numeric), len(words)))
    read_profiles(layout, words, for_reading(cutoffs), out)
    return rows_of(definition, pl.Series("user", users, dtype=pl.String), cutoffs, out.T, traits)
