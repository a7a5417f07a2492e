"""One event into a profile."""

import math

import numpy as np
from numpy.typing import NDArray

from features.kernel import jit
from features.profile import (
    H_EVENTS,
    H_FIRST,
    H_LAST,
    H_PART,
    H_TILES,
    H_VERSION,
    H_VISIBLE,
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
    VERSION,
    Layout,
    Words,
)
from features.time import DAY, HOUR


@jit
def _tile_of(words: Words, layout: Layout, day: int) -> int:
    """Return where the tile of a day begins, opening it when the day is new."""
    tiles = words[H_TILES]
    if tiles:
        last = layout.tiles_at + (tiles - 1) * layout.tile
        if words[last] == day:
            return int(last)
    if tiles == layout.capacity:
        old = 0
        while old < tiles and words[layout.tiles_at + old * layout.tile] < day - layout.keep_days:
            old += 1
        moved = (tiles - old) * layout.tile
        for i in range(moved):
            words[layout.tiles_at + i] = words[layout.tiles_at + old * layout.tile + i]
        tiles -= old
    at = layout.tiles_at + tiles * layout.tile
    words[at] = day
    words[at + 1 : at + layout.tile] = 0
    words[H_TILES] = tiles + 1
    return int(at)


@jit
def fold(words: Words, layout: Layout, t: int, visible: int, mask: int, values: NDArray[np.float64]) -> None:
    """Fold one event into a profile; events come in ascending time.

    Args:
        words: the profile, changed in place; all zeros is the empty profile.
        layout: where things stand in it.
        t: event time.
        visible: the first cutoff that may see the event: ``max(t + 1, arrived_at)``.
        mask: bit ``i`` is set when the event fires signal ``i``.
        values: the event's value for each valued signal.
    """
    floats = words.view(np.float64)
    if words[H_EVENTS] == 0:
        words[H_VERSION] = VERSION
        words[H_FIRST] = t
    words[H_EVENTS] += 1
    words[H_LAST] = t
    words[H_VISIBLE] = max(words[H_VISIBLE], visible)
    day = t // DAY
    tile = _tile_of(words, layout, day)
    for s in range(layout.signals):
        if not (mask >> s) & 1:
            continue
        at = HEADER + s * layout.block
        count = words[at + S_COUNT]
        if count == 0:
            words[at + S_FIRST] = t
            words[at + S_DAYS] = 1
            for h in range(layout.decay.size):
                floats[at + S_DECAYED + h] = 1.0
        else:
            since = t - words[at + S_LAST]
            gap = day - words[at + S_LAST] // DAY
            if gap > 0:
                words[at + S_DAYS] += 1
                words[at + S_GAP_SQUARES] += gap * gap
                words[at + S_LAST_GAP] = gap
            for h in range(layout.decay.size):
                floats[at + S_DECAYED + h] = floats[at + S_DECAYED + h] * math.exp(-since * layout.decay[h]) + 1.0
        words[at + S_DECAYED + layout.decay.size + count % RING] = t
        words[at + S_LAST] = t
        words[at + S_COUNT] = count + 1
        words[tile + 1 + s] += 1
        v = layout.valued[s]
        if v >= 0:
            floats[at + S_VALUE] += values[v]
            floats[tile + 1 + layout.signals + v] += values[v]
        if s == layout.activity:
            words[H_PART + (t % DAY) // (6 * HOUR)] += 1
            if (day + 3) % 7 >= 5:  # 1970-01-01 was a Thursday
                words[H_WEEKEND] += 1
