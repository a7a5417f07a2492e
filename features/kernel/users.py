"""Many users in one pass."""

import numpy as np
from numpy.typing import NDArray

from features.kernel import jit
from features.kernel.fold import fold
from features.kernel.read import read
from features.profile import H_VISIBLE, Layout, Words


@jit
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
            fold(words, layout, t, visible, mask, values, i, i + 1)


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
        out: ``[rows, columns]``.
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
                _refold(late, layout, t, visible, mask, values, starts[u], i, c)
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
        for i in range(starts[u], starts[u + 1]):
            if visible[i] <= c:
                fold(out[u], layout, t, visible, mask, values, i, i + 1)
            else:
                ahead[u] = min(ahead[u], visible[i])


@jit
def read_profiles(
    layout: Layout, words: NDArray[np.int64], cutoffs: NDArray[np.int64], out: NDArray[np.float64]
) -> None:
    """Read many profiles, each at its own cutoff: ``out[u]`` from ``words[u]`` at ``cutoffs[u]``."""
    edges = np.zeros(layout.windows.size - layout.n_short, dtype=np.int64)
    for u in range(words.shape[0]):
        read(words[u], layout, cutoffs[u], edges, out, u)
