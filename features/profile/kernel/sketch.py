"""How many different values a property has had: a sketch of their keys, exact while they are few."""

import math

import numpy as np
from numpy.typing import NDArray

from features.engines.keys import KEY_BITS
from features.profile.kernel.days import day_of
from features.profile.layout import (
    DAY_BITS,
    DAY_ZERO,
    KEPT,
    P_DISTINCT,
    P_DISTINCT_END,
    P_KEYS,
    P_SKETCHES,
    SKETCH_WORDS,
    Layout,
    Words,
)
from features.system.compiled import jit
from features.time import DAY


@jit
def fold_keys(words: Words, plan: NDArray[np.int64], s: int, day: int, numbers: NDArray[np.float64], i: int) -> None:
    """Note the properties of row ``i`` in the sketches of signal ``s``; 0 is no value."""
    for p in range(plan[s, P_DISTINCT], plan[s, P_DISTINCT_END]):
        key = np.int64(numbers[i, plan[s, P_KEYS] + p])
        if key > 0:
            fold_key(words, plan[s, P_SKETCHES] + p * SKETCH_WORDS, key, day)


@jit
def fold_key(words: Words, at: int, key: int, day: int) -> None:
    """Note in the sketch that begins at ``at`` that a value was seen on a day; the order of calls does not matter."""
    kept = words[at]
    held = min(kept, KEPT)
    seen = (key << DAY_BITS) + min(max(day + DAY_ZERO, 0), 2 * DAY_ZERO - 1)
    lo, hi = 0, held
    while lo < hi:
        middle = (lo + hi) // 2
        if words[at + 1 + middle] >> DAY_BITS < key:
            lo = middle + 1
        else:
            hi = middle
    if lo < held and words[at + 1 + lo] >> DAY_BITS == key:
        words[at + 1 + lo] = max(words[at + 1 + lo], seen)
        return
    words[at] = min(kept + 1, KEPT + 1)
    for i in range(min(held, KEPT - 1), lo, -1):
        words[at + 1 + i] = words[at + i]
    if lo < KEPT:
        words[at + 1 + lo] = seen


@jit
def read_sketch(words: Words, layout: Layout, at: int, c: int, out: NDArray[np.float64], row: int, o: int) -> int:
    """Read how many different values each window of a day or more has, and all time; return the place after them.

    Where values were left out, the keys that are kept are those of a sample of them: all values are about
    ``(k - 1) / u`` for the largest kept key ``u`` as a share of all keys, with a standard error of ``1 / sqrt(k - 2)``,
    13 % (Bar-Yossef et al. 2002, Beyer et al. 2007); a window has the share of the sample that was seen in it.
    """
    kept = words[at]
    held, total = min(kept, KEPT), float(kept)
    if kept > KEPT:
        largest = (words[at + KEPT] >> DAY_BITS) / (1 << KEY_BITS)
        total = max(math.floor((KEPT - 1) / largest + 0.5), KEPT + 1.0)
    n_long = layout.windows.size - layout.n_short
    today = day_of(layout.zone, c) + DAY_ZERO
    for w in range(n_long):
        from_day = today - layout.windows[layout.n_short + w] // DAY
        inside = 0
        for i in range(held):
            inside += (words[at + 1 + i] & (2 * DAY_ZERO - 1)) >= from_day
        out[o + w, row] = inside if kept <= KEPT else math.floor(total * inside / KEPT + 0.5)
    out[o + n_long, row] = total
    return int(o + n_long + 1)
