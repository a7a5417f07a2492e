"""Rows that take value away from signals."""

import numpy as np
from numpy.typing import NDArray

from features.engines.refunds import REFUND
from features.system.compiled import jit


@jit
def fold_refund(
    floats: NDArray[np.float64],
    values_at: int,
    valued: NDArray[np.int64],
    fired: int,
    values: NDArray[np.float64],
    i: int,
) -> int:
    """Take the value of a refund out of the totals of its day.

    Args:
        floats: the profile.
        values_at: where the values of the day's tile begin.
        valued: for each signal its place among the valued ones, or -1.
        fired: the mask of the row.
        values: the numbers of events; of signals that the row does not fire, below 0 where it takes value away, else 0.
        i: which row.

    Returns:
        The signals that the row fires beside.
    """
    for s in range(valued.size):
        v = valued[s]
        if v >= 0 and (fired >> s) & 1 == 0:
            floats[values_at + v] += values[i, v]
    return fired - REFUND
