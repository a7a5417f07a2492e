"""One feature row out of a profile."""

import math

import numpy as np
from numpy.typing import NDArray

from features.profile.kernel.days import day_of
from features.profile.kernel.families import read_families
from features.profile.layout import (
    H_FIRST,
    H_PART,
    H_TILES,
    H_WEEKEND,
    HEADER,
    RING,
    S_COMEBACK,
    S_COUNT,
    S_DAYS,
    S_DECAYED,
    S_FIRST,
    S_GAP_SQUARES,
    S_LAST,
    S_LAST_GAP,
    Layout,
    Words,
)
from features.system.compiled import inlined
from features.time import DAY


@inlined
def _edges(words: Words, layout: Layout, c: int, edges: NDArray[np.int64]) -> None:
    """Find, for each window of a day or more, the newest tile before it: its totals are what the window leaves out.

    ``edges`` gets where that tile begins, or -1 where every event is inside. Windows ascend, so one walk back over the
    days serves all.
    """
    at = layout.tiles_at + (words[H_TILES] - 1) * layout.tile
    today = day_of(layout.zone, c)
    for w in range(edges.size):
        from_day = today - layout.windows[layout.n_short + w] // DAY
        while at >= layout.tiles_at and words[at] >= from_day:
            at -= layout.tile
        edges[w] = at if at >= layout.tiles_at else -1


@inlined
def read(words: Words, layout: Layout, c: int, edges: NDArray[np.int64], out: NDArray[np.float64], row: int) -> None:
    """Read the feature row of a profile at a cutoff.

    Args:
        words: a profile of events with ``event_time < c`` only.
        layout: where things stand in it.
        c: the cutoff.
        edges: scratch, a number for each window of a day or more.
        out: ``out[:, row]`` gets `columns.read_columns` in order, NaN where there is nothing to say; further columns
            are left alone.
        row: which row.
    """
    # one function, though long: nearly all of its parts share these variables, in the order of the columns; split into
    # four inlined functions, folding and reading 26 cutoffs took 40 % longer
    floats, signals, valued, decay, n_long = (
        words.view(np.float64),
        layout.signals,
        layout.valued,
        layout.decay,
        edges.size,
    )
    _edges(words, layout, c, edges)
    total_shared, edge = 0, edges[layout.share]
    worth = layout.tiles_at + (words[H_TILES] - 1) * layout.tile + 1 + 2 * signals  # newest totals, less refunds
    for s in range(signals):
        total_shared += words[HEADER + s * layout.block + S_COUNT] - (words[edge + 1 + s] if edge >= 0 else 0)

    tenure = (c - words[H_FIRST]) / DAY
    o = 0
    for s in range(signals):
        at = HEADER + s * layout.block
        count, days, v = words[at + S_COUNT], words[at + S_DAYS], valued[s]
        for w in range(layout.n_short):
            ring = at + S_DECAYED + decay.size
            n = 0
            for i in range(min(count, RING)):
                if words[ring + i] >= c - layout.windows[w]:
                    n += 1
            out[o, row] = n
            o += 1
        counts = o
        for w in range(n_long):
            edge = edges[w]
            out[o + w, row] = count - words[edge + 1 + s] if edge >= 0 else count
            out[o + n_long + w, row] = days - words[edge + 1 + signals + s] if edge >= 0 else days
        o += 2 * n_long
        if v >= 0:
            for w in range(n_long):
                edge = edges[w]
                before = floats[edge + 1 + 2 * signals + v] if edge >= 0 else 0.0
                out[o + w, row] = floats[worth + v] - before
            o += n_long
        out[o, row] = count
        out[o + 1, row] = days
        o += 2
        if v >= 0:
            out[o, row] = floats[worth + v]
            o += 1
        if count:
            first, last = words[at + S_FIRST], words[at + S_LAST]
            since = (c - last) / DAY
            out[o, row] = since
            out[o + 1, row] = (c - first) / DAY
            out[o + 2, row] = since / tenure
            if days > 1:
                mean = (day_of(layout.zone, last) - day_of(layout.zone, first)) / (days - 1)
                out[o + 3, row] = mean
                out[o + 4, row] = math.sqrt(max(words[at + S_GAP_SQUARES] / (days - 1) - mean * mean, 0.0))
                out[o + 5, row] = words[at + S_LAST_GAP]
                out[o + 6, row] = since / mean
            else:
                for i in range(3, 7):
                    out[o + i, row] = np.nan
            o += 7
            for h in range(decay.size):
                out[o, row] = floats[at + S_DECAYED + h] * math.exp((last - c) * decay[h])
                o += 1
        else:
            for i in range(7):
                out[o + i, row] = np.nan
            o += 7
            for _ in range(decay.size):
                out[o, row] = 0.0
                o += 1
        for p in range(layout.trends.shape[0]):
            recent = out[counts + layout.trends[p, 0], row]
            before = out[counts + layout.trends[p, 1], row] - recent
            out[o, row] = recent / before if before > 0 else np.nan
            o += 1
        out[o, row] = out[counts + layout.share, row] / total_shared if total_shared > 0 else np.nan
        back = words[at + S_COMEBACK]
        out[o + 1, row] = (c - words[at + S_FIRST] - back) / DAY if back else np.nan
        o += 2
    out[o, row] = tenure
    o += 1
    active = words[HEADER + layout.activity * layout.block + S_COUNT]
    for part in range(4):
        out[o + part, row] = words[H_PART + part] / active if active else np.nan
    out[o + 4, row] = words[H_WEEKEND] / active if active else np.nan
    if layout.more:
        read_families(words, layout, c, edges, out, row, o + 5)
