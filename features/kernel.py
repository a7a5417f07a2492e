"""The fold, compiled: one event into a profile, one feature row out of it, and many users in one pass.

The plain-Python oracle in ``tests/oracle.py`` says the same without tricks; both are driven by the same tests.
"""

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

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

_jit = nb.njit(cache=True, nogil=True, error_model="numpy")


@_jit
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


@_jit
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
            for h in range(layout.half_lives.size):
                floats[at + S_DECAYED + h] = 1.0
        else:
            since = t - words[at + S_LAST]
            gap = day - words[at + S_LAST] // DAY
            if gap > 0:
                words[at + S_DAYS] += 1
                words[at + S_GAP_SQUARES] += gap * gap
                words[at + S_LAST_GAP] = gap
            for h in range(layout.half_lives.size):
                floats[at + S_DECAYED + h] = floats[at + S_DECAYED + h] * 2.0 ** (-since / layout.half_lives[h]) + 1.0
        words[at + S_DECAYED + layout.half_lives.size + count % RING] = t
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


@_jit
def read(words: Words, layout: Layout, c: int, sums: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Read the feature row of a profile at a cutoff.

    Args:
        words: a profile of events with ``event_time < c`` only.
        layout: where things stand in it.
        c: the cutoff.
        sums: scratch, ``[3, windows, signals]``: counts, active days and values of each window.
        out: the row, `columns.read_columns` in order; NaN where there is nothing to say.
    """
    floats = words.view(np.float64)
    n_long = layout.windows.size - layout.n_short
    sums[:, :, :] = 0.0
    tiles = words[H_TILES]
    # newest tile first: each window's sum is the shorter window's sum and a few tiles more
    at = layout.tiles_at + (tiles - 1) * layout.tile
    for w in range(n_long):
        if w:
            sums[:, w, :] = sums[:, w - 1, :]
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
            ring = at + S_DECAYED + layout.half_lives.size
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
            for h in range(layout.half_lives.size):
                age = c - words[at + S_LAST]
                out[o] = floats[at + S_DECAYED + h] * 2.0 ** (-age / layout.half_lives[h])
                o += 1
        else:
            out[o : o + 7] = np.nan
            o += 7
            out[o : o + layout.half_lives.size] = 0.0
            o += layout.half_lives.size
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


@_jit
def _refold(
    words: Words,
    layout: Layout,
    t: NDArray[np.int64],
    visible: NDArray[np.int64],
    mask: NDArray[np.int64],
    values: NDArray[np.float64],
    lo: int,
    hi: int,
    c: int,
) -> None:
    """Fold a user's events ``[lo, hi)`` again, leaving out what had not arrived by the cutoff."""
    words[:] = 0
    for i in range(lo, hi):
        if visible[i] <= c:
            fold(words, layout, t[i], visible[i], mask[i], values[i])


@_jit
def fold_users(
    layout: Layout,
    size: int,
    starts: NDArray[np.int64],
    t: NDArray[np.int64],
    visible: NDArray[np.int64],
    mask: NDArray[np.int64],
    values: NDArray[np.float64],
    cutoffs: NDArray[np.int64],
    cut_lo: NDArray[np.int64],
    cut_hi: NDArray[np.int64],
    row_at: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Fold each user's events once and read at every one of that user's cutoffs on the way.

    Args:
        layout: where things stand in a profile.
        size: words of a profile.
        starts: user ``u`` has the events ``[starts[u], starts[u + 1])``, ascending in time.
        t: event times.
        visible: ``max(t + 1, arrived_at)`` of each event.
        mask: signals each event fires.
        values: ``[events, valued signals]``.
        cutoffs: instants, ascending within each user's range.
        cut_lo: user ``u`` is read at ``cutoffs[cut_lo[u]:cut_hi[u]]``; each sees at least one event.
        cut_hi: end of that range.
        row_at: the first row of user ``u`` in ``out``.
        out: ``[rows, columns]``.
    """
    words = np.zeros(size, dtype=np.int64)
    late = np.zeros(size, dtype=np.int64)
    sums = np.zeros((3, layout.windows.size - layout.n_short, layout.signals))
    for u in range(starts.size - 1):
        if cut_lo[u] == cut_hi[u]:
            continue
        words[: layout.tiles_at] = 0
        i = starts[u]
        row = row_at[u]
        for k in range(cut_lo[u], cut_hi[u]):
            c = cutoffs[k]
            while i < starts[u + 1] and t[i] < c:
                fold(words, layout, t[i], visible[i], mask[i], values[i])
                i += 1
            if words[H_VISIBLE] <= c:
                read(words, layout, c, sums, out[row])
            else:
                _refold(late, layout, t, visible, mask, values, starts[u], i, c)
                read(late, layout, c, sums, out[row])
            row += 1


@_jit
def fold_profiles(
    layout: Layout,
    starts: NDArray[np.int64],
    t: NDArray[np.int64],
    visible: NDArray[np.int64],
    mask: NDArray[np.int64],
    values: NDArray[np.float64],
    c: int,
    out: NDArray[np.int64],
) -> None:
    """Fold each user's events visible at the cutoff into a profile: ``out[u]``, ``[users, words]``."""
    for u in range(starts.size - 1):
        _refold(
            out[u],
            layout,
            t,
            visible,
            mask,
            values,
            starts[u],
            np.searchsorted(t[starts[u] : starts[u + 1]], c) + starts[u],
            c,
        )


@_jit
def read_profiles(
    layout: Layout, words: NDArray[np.int64], cutoffs: NDArray[np.int64], out: NDArray[np.float64]
) -> None:
    """Read many profiles, each at its own cutoff: ``out[u]`` from ``words[u]`` at ``cutoffs[u]``."""
    sums = np.zeros((3, layout.windows.size - layout.n_short, layout.signals))
    for u in range(words.shape[0]):
        read(words[u], layout, cutoffs[u], sums, out[u])
