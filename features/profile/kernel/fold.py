"""A run of events into a profile."""

import math

import numpy as np
from numpy.typing import NDArray

from features.engines.refunds import REFUND
from features.profile.kernel.days import change_at, day_of
from features.profile.kernel.families import fold_more
from features.profile.kernel.orders import fold_lines
from features.profile.kernel.refunds import fold_refund
from features.profile.layout import (
    H_EVENTS,
    H_FIRST,
    H_LAST,
    H_PART,
    H_TILES,
    H_VERSION,
    H_VISIBLE,
    H_WEEKEND,
    HEADER,
    NEVER,
    P_ORDERED,
    RING,
    S_COMEBACK,
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
from features.system.compiled import jit
from features.time import DAY, HOUR


@jit
def _tile_of(words: Words, layout: Layout, day: int) -> int:
    """Return where the tile of a day begins; a new day begins with the totals of the day before it."""
    tiles = words[H_TILES]
    at = layout.tiles_at + tiles * layout.tile
    if tiles == 0:
        words[at : at + layout.tile] = 0
    else:
        before = at - layout.tile
        if words[before] == day:
            return int(before)
        if tiles == layout.capacity:
            old = 0  # the newest tile too old for any window stays: windows begin with its totals
            while old + 1 < tiles and words[layout.tiles_at + (old + 1) * layout.tile] < day - layout.keep_days:
                old += 1
            for i in range(layout.tiles_at, at - old * layout.tile):
                words[i] = words[i + old * layout.tile]
            tiles -= old
            at -= old * layout.tile
            before = at - layout.tile
        for i in range(layout.tile):
            words[at + i] = words[before + i]
    words[at] = day
    words[H_TILES] = tiles + 1
    return int(at)


@jit
def fold(
    words: Words,
    layout: Layout,
    t: NDArray[np.int64],
    visible: NDArray[np.int64],
    mask: NDArray[np.int64],
    values: NDArray[np.float64],
    lo: int,
    hi: int,
) -> None:
    """Fold the events ``[lo, hi)`` into a profile; events come in ascending time.

    Args:
        words: the profile, changed in place; all zeros is the empty profile.
        layout: where things stand in it.
        t: event times.
        visible: the first cutoff that may see the event: ``max(t + 1, arrived_at)``.
        mask: bit ``i`` is set when the event fires signal ``i``, `REFUND` when it takes value away from others.
        values: ``[events, valued signals]``.
        lo: first event.
        hi: end of the events.
    """
    if lo == hi:
        return
    # what a loop over events needs again and again is kept at hand; dividing once a day, not once an event, and
    # writing the header once a run made the fold 2.5 times as fast; the part of a signal as a function of its own, even
    # an inlined one, made it 8 % slower
    floats, valued, decay, signals, block = (
        words.view(np.float64),
        layout.valued,
        layout.decay,
        layout.signals,
        layout.block,
    )
    absence, more, plan, zone = layout.absence, layout.more, layout.plan, layout.zone
    ordered = plan[0, P_ORDERED]
    if words[H_EVENTS] == 0:
        words[H_VERSION] = VERSION
        words[H_FIRST] = t[lo]
    words[H_EVENTS] += hi - lo
    words[H_LAST] = t[hi - 1]
    seen = words[H_VISIBLE]
    day, begin, end, tile, weekend, shift = 0, 0, -1, 0, False, 0
    for i in range(lo, hi):
        now = t[i]
        seen = max(seen, visible[i])
        if now >= end or now < begin:
            # from begin to end it is one day and clocks do not change; now + shift is the time of day
            change = change_at(zone, now)
            day = (now + zone[1, change]) // DAY
            shift = zone[1, change] - day * DAY
            begin = max(-shift, zone[0, change])
            end = min(DAY - shift, zone[0, change + 1] if change + 1 < zone.shape[1] else NEVER)
            tile = _tile_of(words, layout, day)
            weekend = (day + 3) % 7 >= 5  # 1970-01-01 was a Thursday
        fired, s = mask[i], -1
        if fired >= REFUND:  # by a call, as few rows are
            fired = fold_refund(words, plan, tile, valued, fired, values, i)
        if ordered:
            fired = fold_lines(words, plan, fired, tile, day, values, i)
        while fired:
            s += 1
            one = fired & 1
            fired >>= 1
            if not one:
                continue
            at = HEADER + s * block
            count, last, gap = words[at + S_COUNT], words[at + S_LAST], 0
            if count == 0:
                words[at + S_FIRST] = now
                words[at + S_DAYS] = 1
                for h in range(decay.size):
                    floats[at + S_DECAYED + h] = 1.0
            else:
                if last < begin:
                    if now - last >= absence:
                        words[at + S_COMEBACK] = now - words[at + S_FIRST]
                    gap = day - day_of(zone, last)
                    if gap:
                        words[at + S_DAYS] += 1
                        words[at + S_GAP_SQUARES] += gap * gap
                        words[at + S_LAST_GAP] = gap
                for h in range(decay.size):
                    floats[at + S_DECAYED + h] = floats[at + S_DECAYED + h] * math.exp((last - now) * decay[h]) + 1.0
            words[at + S_DECAYED + decay.size + (count & (RING - 1))] = now
            words[at + S_LAST] = now
            words[at + S_COUNT] = count + 1
            words[tile + 1 + s] = count + 1
            words[tile + 1 + signals + s] = words[at + S_DAYS]
            if more:  # by a call: what few ask for must not slow the loop of all
                fold_more(words, plan, s, tile, count, last, now, day, gap, values, i)
            v = valued[s]
            if v >= 0:
                floats[at + S_VALUE] += values[i, v]
                floats[tile + 1 + 2 * signals + v] += values[i, v]
            if s == layout.activity:
                words[H_PART + (now + shift) // (6 * HOUR)] += 1
                if weekend:
                    words[H_WEEKEND] += 1
    words[H_VISIBLE] = seen
