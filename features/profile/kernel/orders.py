"""Rows that are later lines of an order."""

import numpy as np
from numpy.typing import NDArray

from features.events.orders import begins, place_of
from features.profile.kernel.kept import add_line
from features.profile.kernel.sketch import fold_keys
from features.profile.layout import (
    P_ADDED,
    P_ADDED_COLUMN,
    P_ADDED_END,
    P_BLOCK,
    P_KEPT,
    P_ORDER_KEY,
    P_ORDERS,
    P_SUMS,
    P_VALUED,
    S_COUNT,
    Words,
)
from features.system.compiled import jit


@jit
def fold_lines(
    words: Words, plan: NDArray[np.int64], fired: int, tile: int, day: int, numbers: NDArray[np.float64], i: int
) -> int:
    """Note the orders that a row begins, and add what it holds as a later line of others.

    Args:
        words: the profile.
        plan: where things stand, `profile.Layout.plan`.
        fired: the signals whose rows it is one of.
        tile: where the tile of its day begins.
        day: its day.
        numbers: the numbers of events.
        i: which row.

    Returns:
        The signals that it is an event of.
    """
    floats, signals = words.view(np.float64), plan.shape[0]
    for s in range(signals):
        if plan[s, P_ORDERS] < 0 or (fired >> s) & 1 == 0:
            continue
        key, n = np.int64(numbers[i, plan[s, P_ORDER_KEY]]), words[plan[s, P_BLOCK] + S_COUNT]
        if begins(words, plan[s, P_ORDERS], n, key):
            continue
        fired -= 1 << s
        if plan[s, P_KEPT] >= 0:
            line = numbers[i, plan[s, P_VALUED]]
            add_line(words, plan, s, tile, place_of(words, plan[s, P_ORDERS], n, key), line)
        floats[tile + 1 + 2 * signals + plan[s, P_VALUED]] += numbers[i, plan[s, P_VALUED]]
        for a in range(plan[s, P_ADDED], plan[s, P_ADDED_END]):
            floats[tile + plan[s, P_SUMS] + a] += numbers[i, plan[s, P_ADDED_COLUMN] + a]
        fold_keys(words, plan, s, day, numbers, i)
    return fired
