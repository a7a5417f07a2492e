"""One feature row out of a profile."""

import math

import numpy as np
from numpy.typing import NDArray

from features.kernel import jit
from features.profile import (
    H_FIRST,
    H_PART,
    H_TILES,
    H_WEEKEND,
    HEADER,
    RING,
    S_COUNT,
    S_DAYS,
    S_DECAYED,
    S_FIRST,
    S_GAP_SQUARES,
    S_LAST,
    S_LAST_GAP,
    S_VALUE,
    Layout,
    Words,
)
from features.time import DAY


@jit
def read(words: Words, layout: Layout, c: int, sums: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Read the feature row of a profile at a cutoff.

    Args:
        words: a profile of events with ``event_time < c`` only.
        layout: where things stand in it.
        c: the cutoff.
        sums: scratch, ``[3, windows, signals]``: counts, active days and values of each window.
        out: the row, `columns.read_columns` in order, NaN where there is nothing to say; longer rows keep their rest.
    """
    floats = words.view(np.float64)
    n_long = layout.windows.size - layout.n_short
    for s in range(layout.signals):
        sums[0, 0, s] = sums[1, 0, s] = sums[2, 0, s] = 0.0
    tiles = words[H_TILES]
    # newest tile first: each window's sum is the shorter window's sum and a few tiles more
    at = layout.tiles_at + (tiles - 1) * layout.tile
    for w in range(n_long):
        if w:
            for s in range(layout.signals):
                for kind in range(3):
                    sums[kind, w, s] = sums[kind, w - 1, s]
        from_day = (c - layout.windows[layout.n_short + w]) // DAY
        while at >= layout.tiles_at and words[at] >= from_day:
            for s in range(layout.signals):
                count = words[at + 1 + s]
                if count:
                    sums[0, w, s] += count
                    sums[1, w, s] += 1.0
                    v = layout.valued[s]
                    if v >= 0:
                        sums[2, w, s] += floats[at + 1 + layout.signals + v]
            at -= layout.tile
    total_shared = 0.0
    for s in range(layout.signals):
        total_shared += sums[0, layout.share, s]

    tenure = (c - words[H_FIRST]) / DAY
    o = 0
    for s in range(layout.signals):
        at = HEADER + s * layout.block
        count = words[at + S_COUNT]
        valued = layout.valued[s] >= 0
        for w in range(layout.n_short):
            ring = at + S_DECAYED + layout.decay.size
            n = 0
            for i in range(min(count, RING)):
                if words[ring + i] >= c - layout.windows[w]:
                    n += 1
            out[o] = n
            o += 1
        for w in range(n_long):
            out[o + w] = sums[0, w, s]
            out[o + n_long + w] = sums[1, w, s]
        o += 2 * n_long
        if valued:
            for w in range(n_long):
                out[o + w] = sums[2, w, s]
            o += n_long
        out[o] = count
        out[o + 1] = words[at + S_DAYS]
        o += 2
        if valued:
            out[o] = floats[at + S_VALUE]
            o += 1
        if count:
            since = (c - words[at + S_LAST]) / DAY
            gaps = words[at + S_DAYS] - 1
            out[o] = since
            out[o + 1] = (c - words[at + S_FIRST]) / DAY
            out[o + 2] = since / tenure
            if gaps:
                mean = (words[at + S_LAST] // DAY - words[at + S_FIRST] // DAY) / gaps
                out[o + 3] = mean
                out[o + 4] = math.sqrt(max(words[at + S_GAP_SQUARES] / gaps - mean * mean, 0.0))
                out[o + 5] = words[at + S_LAST_GAP]
                out[o + 6] = since / mean
            else:
                out[o + 3 : o + 7] = np.nan
            o += 7
            for h in range(layout.decay.size):
                age = c - words[at + S_LAST]
                out[o] = floats[at + S_DECAYED + h] * math.exp(-age * layout.decay[h])
                o += 1
        else:
            out[o : o + 7] = np.nan
            o += 7
            out[o : o + layout.decay.size] = 0.0
            o += layout.decay.size
        for p in range(layout.trends.shape[0]):
            recent = sums[0, layout.trends[p, 0], s]
            before = sums[0, layout.trends[p, 1], s] - recent
            out[o] = recent / before if before > 0 else np.nan
            o += 1
        out[o] = sums[0, layout.share, s] / total_shared if total_shared > 0 else np.nan
        o += 1
    out[o] = tenure
    o += 1
    active = words[HEADER + layout.activity * layout.block + S_COUNT]
    for part in range(4):
        out[o + part] = words[H_PART + part] / active if active else np.nan
    out[o + 4] = words[H_WEEKEND] / active if active else np.nan
