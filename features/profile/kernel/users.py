"""Many users in one pass."""

import numpy as np
from numpy.typing import NDArray

from features.profile.kernel.days import day_of
from features.profile.kernel.fold import fold
from features.profile.kernel.read import read
from features.profile.layout import H_EVENTS, H_LAST, H_TILES, H_VERSION, H_VISIBLE, NEVER, VERSION, Layout, Words
from features.system.compiled import jit


@jit
def _fold_visible(
    words: Words,
    layout: Layout,
    t: NDArray[np.int64],
    visible: NDArray[np.int64],
    mask: NDArray[np.int64],
    values: NDArray[np.float64],
    lo: int,
    hi: int,
    c: int,
) -> int:
    """Fold the events ``[lo, hi)`` that a cutoff sees; return the first cutoff that sees another one of them."""
    ahead = NEVER
    i = lo
    while i < hi:
        begin = i
        while i < hi and visible[i] <= c:
            i += 1
        fold(words, layout, t, visible, mask, values, begin, i)
        while i < hi and visible[i] > c:
            ahead = min(ahead, visible[i])
            i += 1
    return ahead


@jit
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
        out: ``[columns, rows]``: a column is one piece of memory.
    """
    words = np.zeros(size, dtype=np.int64)
    late = np.zeros(size, dtype=np.int64)
    edges = np.zeros(layout.windows.size - layout.n_short, dtype=np.int64)
    for u in range(starts.size - 1):
        if cut_lo[u] == cut_hi[u]:
            continue
        words[: layout.tiles_at] = 0
        i = starts[u]
        row = row_at[u]
        for k in range(cut_lo[u], cut_hi[u]):
            c = cutoffs[k]
            begin = i
            while i < starts[u + 1] and t[i] < c:
                i += 1
            fold(words, layout, t, visible, mask, values, begin, i)
            if words[H_VISIBLE] <= c:
                read(words, layout, c, edges, out, row)
            else:
                late[: layout.tiles_at] = 0
                _fold_visible(late, layout, t, visible, mask, values, starts[u], i, c)
                read(late, layout, c, edges, out, row)
            row += 1


@jit
def fold_profiles(
    layout: Layout,
    starts: NDArray[np.int64],
    t: NDArray[np.int64],
    visible: NDArray[np.int64],
    mask: NDArray[np.int64],
    values: NDArray[np.float64],
    c: int,
    out: NDArray[np.int64],
    ahead: NDArray[np.int64],
) -> None:
    """Fold each user's events visible at the cutoff into the profile ``out[u]``, ``[users, words]``.

    ``ahead[u]`` becomes the first cutoff that sees an event left out now, where that is earlier than it was.
    """
    for u in range(starts.size - 1):
        first = _fold_visible(out[u], layout, t, visible, mask, values, starts[u], starts[u + 1], c)
        ahead[u] = min(ahead[u], first)


@jit
def trim_profiles(layout: Layout, words: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Leave out of profiles what no window reaches, and turn the totals of tiles into differences from the tile before.

    Returns:
        The words of all profiles one after the other, and where each begins, with the end. An empty profile has none.
    """
    starts = np.zeros(words.shape[0] + 1, dtype=np.int64)
    firsts = np.zeros(words.shape[0], dtype=np.int64)
    for u in range(words.shape[0]):
        tiles, old = words[u, H_TILES], 0
        oldest = day_of(layout.zone, words[u, H_LAST]) - layout.keep_days
        while old + 1 < tiles and words[u, layout.tiles_at + (old + 1) * layout.tile] < oldest:
            old += 1
        firsts[u] = old
        size = layout.tiles_at + (tiles - old) * layout.tile if words[u, H_EVENTS] else 0
        starts[u + 1] = starts[u] + size
    out = np.empty(starts[-1], dtype=np.int64)
    for u in range(words.shape[0]):
        at, size = starts[u], starts[u + 1] - starts[u]
        if size == 0:
            continue
        first = firsts[u] * layout.tile
        for i in range(size):
            out[at + i] = words[u, i] if i < layout.tiles_at else words[u, i + first]
        # differences are small; those of floats are of their bits, and overflow undoes itself
        for i in range(size - 1, layout.tiles_at + layout.tile - 1, -1):
            out[at + i] -= out[at + i - layout.tile]
        out[at + H_TILES] = words[u, H_TILES] - firsts[u]
    return out, starts


@jit
def restore_profiles(
    layout: Layout,
    trimmed: NDArray[np.int64],
    starts: NDArray[np.int64],
    words: NDArray[np.int64],
    at: NDArray[np.int64],
) -> int:
    """Write what `trim_profiles` made of profiles back into rows ``at`` of ``words``, which are empty.

    Returns:
        The first that is no profile of this layout, where it ends; -1 where all are.
    """
    for u in range(at.size):
        stored, out = trimmed[starts[u] : starts[u + 1]], words[at[u]]
        tiles = stored[H_TILES] if stored.size > H_TILES else -1
        if tiles < 0 or stored.size != layout.tiles_at + tiles * layout.tile or stored[H_VERSION] != VERSION:
            return u
        for i in range(stored.size):
            before = out[i - layout.tile] if i >= layout.tiles_at + layout.tile else 0
            out[i] = stored[i] + before
    return -1


@jit
def read_profiles(
    layout: Layout, words: NDArray[np.int64], cutoffs: NDArray[np.int64], out: NDArray[np.float64]
) -> None:
    """Read many profiles, each at its own cutoff: ``out[:, u]`` from ``words[u]`` at ``cutoffs[u]``."""
    edges = np.zeros(layout.windows.size - layout.n_short, dtype=np.int64)
    for u in range(words.shape[0]):
        read(words[u], layout, cutoffs[u], edges, out, u)
