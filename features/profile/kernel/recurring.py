"""A plan's charge: what is paid a month at an instant, and how it has moved since an earlier one."""

import numpy as np
from numpy.typing import NDArray

from features.profile.layout import (
    M_AMOUNT,
    M_FIRST,
    M_TIME,
    M_UNTIL,
    P_BLOCK,
    P_GRACE,
    P_OVER,
    P_RECURRING,
    RING,
    S_COUNT,
    S_FIRST,
    Words,
)
from features.system.compiled import jit
from features.time import DAY

#: a twelfth of a year of 365.25 days
MONTH = DAY * 487 // 16


@jit
def note_charge(words: Words, plan: NDArray[np.int64], s: int, n: int, now: int, value: float, months: float) -> None:
    """Remember what is paid a month from now on, in the place of the row `RING` before.

    Args:
        words: the profile.
        plan: where things stand, `profile.Layout.plan`.
        s: the signal.
        n: how many rows there were before.
        now: the time of the row.
        value: what is paid, 0 where the plan ends.
        months: for how many months; 1 where it is not above 0.
    """
    floats, at, place = words.view(np.float64), plan[s, P_RECURRING], n & (RING - 1)
    months = months if months > 0.0 else 1.0
    floats[at + M_AMOUNT + place] = value / months
    words[at + M_UNTIL + place] = now + np.int64(months * MONTH)
    words[at + M_TIME + place] = now
    if value > 0.0 and words[at + M_FIRST] == 0:
        words[at + M_FIRST] = now


@jit
def _row_before(words: Words, at: int, n: int, first: int, instant: int) -> int:
    """The place of the newest row before an instant; -1 where there is none, -2 where it is not remembered."""
    for i in range(n - 1, max(n - RING, 0) - 1, -1):
        if words[at + M_TIME + (i & (RING - 1))] < instant:
            return i & (RING - 1)
    return -1 if n <= RING or first >= instant else -2


@jit
def _paid_at(words: Words, at: int, place: int, grace: int, instant: int) -> float:
    """What is paid a month by the row in a place: nothing after its time and the time of grace."""
    if place == -2:
        return np.nan
    if place == -1 or instant >= words[at + M_UNTIL + place] + grace:
        return 0.0
    return float(words.view(np.float64)[at + M_AMOUNT + place])


@jit
def read_plan(words: Words, plan: NDArray[np.int64], s: int, c: int, out: NDArray[np.float64], row: int, o: int) -> int:
    """Read what is paid a month, what was before, the move between the two, and the days until renewal.

    Args:
        words: a profile of events with ``event_time < c`` only.
        plan: where things stand, `profile.Layout.plan`.
        s: the signal.
        c: the cutoff.
        out: ``out[:, row]`` gets the columns `features.definition.columns.PLAN`.
        row: which row.
        o: the first of them.

    Returns:
        The place after them.
    """
    at, block, grace, then = plan[s, P_RECURRING], plan[s, P_BLOCK], plan[s, P_GRACE], c - plan[s, P_OVER]
    n, first = words[block + S_COUNT], words[block + S_FIRST]
    newest, earlier = _row_before(words, at, n, first, c), _row_before(words, at, n, first, then)
    now, before = _paid_at(words, at, newest, grace, c), _paid_at(words, at, earlier, grace, then)
    out[o, row], out[o + 1, row] = now, before
    out[o + 2 : o + 7, row] = np.nan if np.isnan(before) else 0.0
    if now > before:
        known = words[at + M_FIRST] < then
        out[o + 3 if before > 0.0 else (o + 6 if known else o + 2), row] = now - before
    elif now < before:
        out[o + 4 if now > 0.0 else o + 5, row] = before - now
    out[o + 7, row] = (words[at + M_UNTIL + newest] - c) / DAY if now > 0.0 else np.nan
    return int(o + 8)
