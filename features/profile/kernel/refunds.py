"""Rows that take value away from signals."""

import numpy as np
from numpy.typing import NDArray

from features.engines.refunds import REFUND
from features.profile.kernel.kept import give_back
from features.profile.layout import P_KEPT, P_ORDER_KEY, P_ORDERS, Words
from features.system.compiled import jit


@jit
def fold_refund(
    words: Words,
    plan: NDArray[np.int64],
    tile: int,
    valued: NDArray[np.int64],
    fired: int,
    values: NDArray[np.float64],
    i: int,
) -> int:
    """Take the value of a refund out of the totals of its day, and from the order that it is of.

    Args:
        words: the profile.
        plan: where things stand, `profile.Layout.plan`.
        tile: where the day's tile begins.
        valued: for each signal its place among the valued ones, or -1.
        fired: the mask of the row.
        values: the numbers of events; of signals that the row does not fire, below 0 where it takes value away, else 0.
        i: which row.

    Returns:
        The signals that the row fires beside.
    """
    floats, values_at = words.view(np.float64), tile + 1 + 2 * valued.size
    for s in range(valued.size):
        v = valued[s]
        if v >= 0 and (fired >> s) & 1 == 0:
            floats[values_at + v] += values[i, v]
            if plan[s, P_KEPT] >= 0 and values[i, v] < 0:
                key = np.int64(values[i, plan[s, P_ORDER_KEY]]) if plan[s, P_ORDERS] >= 0 else 0
                give_back(words, plan, s, tile, key, -values[i, v], floats[values_at + v])
    return fired - REFUND
