"""Orders that stand: less was given back of them than they are worth. Counted for signals that say what a refund is.

The last 16 orders of a signal are remembered with what each is worth and what was given back of it. A refund names its
order by the key of the order; one without a key is of the newest order of which that much is left. When an order no
longer stands, or stands again, the running totals of its day and of all later days change.
"""

import numpy as np
from numpy.typing import NDArray

from features.events.orders import REMEMBERED, place_of
from features.profile.layout import (
    H_TILES,
    K_DAY,
    K_FIRST,
    K_FIRST_DAY,
    K_GIVEN,
    K_LAST,
    K_LAST_DAY,
    K_TIME,
    K_WORTH,
    P_BLOCK,
    P_KEPT,
    P_KEPT_TILE,
    P_ORDERS,
    P_TILE,
    P_TILES,
    S_COUNT,
    Layout,
    Words,
)
from features.system.compiled import jit
from features.time import DAY

#: sums of amounts are equal when they differ by no more than this share
SAME = 1e-9

#: more than nothing: of an order that is worth nothing, so much is all
SOMETHING = 1e-300


@jit
def _returned(floats: NDArray[np.float64], at: int, place: int) -> bool:
    """Whether as much was given back of a remembered order as it is worth."""
    given = floats[at + K_GIVEN + place]
    return bool(given > 0.0 and given >= floats[at + K_WORTH + place] * (1.0 - SAME))


@jit
def _stands_on(words: Words, at: int, n: int, day: int, but: int) -> bool:
    """Whether an order of a day stands, beside the one in a place."""
    for i in range(min(n, REMEMBERED)):
        if i != but and words[at + K_DAY + i] == day and not _returned(words.view(np.float64), at, i):
            return True
    return bool(words[at + K_FIRST] != 0 and words[at + K_LAST_DAY] == day)


@jit
def begin_order(
    words: Words, plan: NDArray[np.int64], s: int, tile: int, n: int, now: int, day: int, worth: float
) -> None:
    """Remember an order, in the place of the one `REMEMBERED` before.

    Args:
        words: the profile.
        plan: where things stand, `profile.Layout.plan`.
        s: the signal.
        tile: where the tile of the order's day begins.
        n: how many orders there were before.
        now: the time of the order.
        day: its day.
        worth: what its first line is worth.
    """
    floats, at, place = words.view(np.float64), plan[s, P_KEPT], n % REMEMBERED
    if n >= REMEMBERED and not _returned(floats, at, place):
        if words[at + K_FIRST] == 0:
            words[at + K_FIRST], words[at + K_FIRST_DAY] = words[at + K_TIME + place], words[at + K_DAY + place]
        words[at + K_LAST], words[at + K_LAST_DAY] = words[at + K_TIME + place], words[at + K_DAY + place]
    total = tile + plan[s, P_KEPT_TILE]
    words[total] += 1
    words[total + 1] += not _stands_on(words, at, n, day, place)
    floats[at + K_WORTH + place], floats[at + K_GIVEN + place] = worth, 0.0
    words[at + K_TIME + place], words[at + K_DAY + place] = now, day


@jit
def add_line(words: Words, plan: NDArray[np.int64], s: int, tile: int, place: int, worth: float) -> None:
    """Add a later line to the order in a place; it may stand again."""
    floats, at = words.view(np.float64), plan[s, P_KEPT]
    before = _returned(floats, at, place)
    floats[at + K_WORTH + place] += worth
    _settle(words, plan, s, tile, place, before)


@jit
def give_back(words: Words, plan: NDArray[np.int64], s: int, tile: int, key: int, amount: float, left: float) -> None:
    """Take an amount from the order that a refund is of; from all orders, where nothing of what was paid is left.

    Args:
        words: the profile.
        plan: where things stand, `profile.Layout.plan`.
        s: the signal.
        tile: where the tile of the refund's day begins.
        key: the key of its order; 0 where it has none.
        amount: what is given back, above 0.
        left: what all orders so far are worth, less refunds.
    """
    floats, at, n = words.view(np.float64), plan[s, P_KEPT], words[plan[s, P_BLOCK] + S_COUNT]
    place = place_of(words, plan[s, P_ORDERS], n, key) if key > 0 else _worth_left(floats, at, n, amount)
    if place >= 0:
        before = _returned(floats, at, place)
        floats[at + K_GIVEN + place] += amount
        _settle(words, plan, s, tile, place, before)
    if left <= amount * SAME:
        for i in range(min(n, REMEMBERED)):
            paid = max(floats[at + K_WORTH + i], SOMETHING)
            floats[at + K_GIVEN + i] = max(floats[at + K_GIVEN + i], paid)
        words[at + K_FIRST] = words[at + K_LAST] = 0
        while tile >= plan[s, P_TILES]:
            words[tile + plan[s, P_KEPT_TILE]] = words[tile + plan[s, P_KEPT_TILE] + 1] = 0
            tile -= plan[s, P_TILE]


@jit
def _worth_left(floats: NDArray[np.float64], at: int, n: int, amount: float) -> int:
    """The place of the newest order that stands and of which an amount is left; -1 where there is none."""
    for i in range(n - 1, max(n - REMEMBERED, 0) - 1, -1):
        place = i % REMEMBERED
        left = floats[at + K_WORTH + place] - floats[at + K_GIVEN + place]
        if not _returned(floats, at, place) and abs(left - amount) <= amount * SAME:
            return place
    return -1


@jit
def _settle(words: Words, plan: NDArray[np.int64], s: int, tile: int, place: int, before: bool) -> None:
    """Bring running totals to whether the order in a place stands, where that has changed."""
    at, n = plan[s, P_KEPT], words[plan[s, P_BLOCK] + S_COUNT]
    after = _returned(words.view(np.float64), at, place)
    if before == after:
        return
    by, day = -1 if after else 1, words[at + K_DAY + place]
    days = 0 if _stands_on(words, at, n, day, place) else by
    while tile >= plan[s, P_TILES] and words[tile] >= day:
        words[tile + plan[s, P_KEPT_TILE]] += by
        words[tile + plan[s, P_KEPT_TILE] + 1] += days
        tile -= plan[s, P_TILE]


@jit
def read_kept(
    words: Words,
    layout: Layout,
    s: int,
    c: int,
    edges: NDArray[np.int64],
    out: NDArray[np.float64],
    row: int,
    o: int,
) -> int:
    """Read the orders of a signal that stand: how many, on how many days, the first and the last.

    Args:
        words: a profile of events with ``event_time < c`` only.
        layout: where things stand in it.
        s: the signal.
        c: the cutoff.
        edges: what each window of a day or more leaves out, as `read.read` has found it.
        out: ``out[:, row]`` gets the columns.
        row: which row.
        o: the first of them.

    Returns:
        The place after them.
    """
    at, offset = layout.plan[s, P_KEPT], layout.plan[s, P_KEPT_TILE]
    newest = layout.tiles_at + (words[H_TILES] - 1) * layout.tile + offset
    for part in range(2):
        for w in range(edges.size):
            before = words[edges[w] + offset + part] if edges[w] >= 0 else 0
            out[o + w, row] = words[newest + part] - before
        o += edges.size
        out[o, row] = words[newest + part]
        o += 1
    out[o : o + 3, row] = np.nan
    if words[newest] > 0:
        first, last, first_day, last_day = _bounds(words, at, words[layout.plan[s, P_BLOCK] + S_COUNT])
        out[o, row] = (c - last) / DAY
        out[o + 1, row] = (c - first) / DAY
        if words[newest + 1] > 1:
            out[o + 2, row] = (last_day - first_day) / (words[newest + 1] - 1)
    return int(o + 3)


@jit
def _bounds(words: Words, at: int, n: int) -> tuple[int, int, int, int]:
    """The times of the first and the last order that stands, and their days; one does."""
    first, last, first_day, last_day = (
        words[at + K_FIRST],
        words[at + K_LAST],
        words[at + K_FIRST_DAY],
        words[at + K_LAST_DAY],
    )
    forgotten = first != 0
    for i in range(max(n - REMEMBERED, 0), n):
        place = i % REMEMBERED
        if _returned(words.view(np.float64), at, place):
            continue
        last, last_day = words[at + K_TIME + place], words[at + K_DAY + place]
        if not forgotten:
            first, first_day, forgotten = last, last_day, True
    return first, last, first_day, last_day
