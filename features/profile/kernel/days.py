"""The day of an instant, where the log's users live."""

import numpy as np
from numpy.typing import NDArray

from features.system.compiled import jit
from features.time import DAY


@jit
def change_at(zone: NDArray[np.int64], t: int) -> int:
    """Which entry of a `features.local_days.Zone` holds at an instant."""
    lo, hi = 0, zone.shape[1]
    while hi - lo > 1:
        middle = (lo + hi) // 2
        if zone[0, middle] <= t:
            lo = middle
        else:
            hi = middle
    return lo


@jit
def day_of(zone: NDArray[np.int64], t: int) -> int:
    """The day since 1970 that an instant belongs to."""
    return int((t + zone[1, change_at(zone, t)]) // DAY)
