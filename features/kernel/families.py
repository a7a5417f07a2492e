"""The families of features that a definition switches on: folded and read beside those that everybody has."""

import math

import numpy as np
from numpy.typing import NDArray

from features.kernel import jit
from features.profile import (
    G_LARGEST,
    G_RING,
    GAP,
    GAP_BITS,
    GAPS_A_WORD,
    HEADER,
    RING,
    S_COUNT,
    S_DAYS,
    S_VALUE,
    V_FIRST,
    V_LARGEST,
    V_LAST,
    V_SPREAD,
    Layout,
    Words,
)
from features.time import DAY


@jit
def fold_gap(words: Words, at: int, n: int, gap: int) -> None:
    """Note the gap after ``n`` others in the words of a signal's gaps, which begin at ``at``."""
    words[at + G_LARGEST] = max(words[at + G_LARGEST], gap)
    slot = n & (RING - 1)
    word, shift = at + G_RING + slot // GAPS_A_WORD, slot % GAPS_A_WORD * GAP_BITS
    words[word] = (words[word] & ~(GAP << shift)) | (min(gap, GAP) << shift)


@jit
def fold_value(
    floats: NDArray[np.float64], at: int, n: int, value: float, total: float, tied: bool, still: bool
) -> None:
    """Note a value after ``n`` others in the words of a signal's values, which begin at ``at``.

    Args:
        floats: the profile.
        at: where they begin.
        n: how many values came before.
        value: the value.
        total: the sum of those before.
        tied: it came at the same instant as the one before it: the largest counts as the last.
        still: and as the first: the smallest counts as the first.
    """
    if n == 0:
        floats[at + V_FIRST] = floats[at + V_LAST] = floats[at + V_LARGEST] = value
        return
    if still:
        floats[at + V_FIRST] = min(floats[at + V_FIRST], value)
    floats[at + V_LAST] = max(floats[at + V_LAST], value) if tied else value
    floats[at + V_LARGEST] = max(floats[at + V_LARGEST], value)
    floats[at + V_SPREAD] += (value - total / n) * (value - (total + value) / (n + 1))


@jit
def read_families(
    words: Words, layout: Layout, c: int, edges: NDArray[np.int64], out: NDArray[np.float64], row: int, o: int
) -> None:
    """Read what the switched on families say, signal by signal, then of the cutoff.

    Args:
        words: a profile of events with ``event_time < c`` only.
        layout: where things stand in it.
        c: the cutoff.
        edges: what each window of a day or more leaves out, as `read.read` has found it.
        out: ``out[row]`` gets the columns.
        row: which row.
        o: the first of their columns.
    """
    for s in range(layout.signals):
        at, v = HEADER + s * layout.block, layout.valued[s]
        if layout.gaps >= 0:
            days = words[at + S_DAYS]
            out[row, o] = _median_gap(words, at + layout.gaps, days - 1) if days > 1 else np.nan
            out[row, o + 1] = words[at + layout.gaps + G_LARGEST] if days > 1 else np.nan
            o += 2
        if layout.sessions >= 0:
            o = _read_sessions(words, layout, at, s, edges, out, row, o)
        if layout.values >= 0 and v >= 0:
            o = _read_values(words, layout, at, s, edges, out, row, o)
    if layout.calendar:
        _read_calendar(c, out, row, o)


@jit
def _median_gap(words: Words, at: int, gaps: int) -> float:
    """The median of the last gaps of a signal; they are few, so each is counted against all."""
    n = min(gaps, RING)
    low = high = 0
    for i in range(n):
        one = (words[at + G_RING + i // GAPS_A_WORD] >> (i % GAPS_A_WORD * GAP_BITS)) & GAP
        below = equal = 0
        for j in range(n):
            other = (words[at + G_RING + j // GAPS_A_WORD] >> (j % GAPS_A_WORD * GAP_BITS)) & GAP
            below += other < one
            equal += other == one
        if below <= (n - 1) // 2 < below + equal:
            low = one
        if below <= n // 2 < below + equal:
            high = one
    return (low + high) / 2.0


@jit
def _read_sessions(
    words: Words,
    layout: Layout,
    at: int,
    s: int,
    edges: NDArray[np.int64],
    out: NDArray[np.float64],
    row: int,
    o: int,
) -> int:
    """Read the sessions of signal ``s``, whose words begin at ``at``; return the place after them."""
    total, first = words[at + layout.sessions], 1 + 2 * layout.signals + layout.n_valued
    for w in range(edges.size):
        edge = edges[w]
        out[row, o + w] = total - words[edge + first + s] if edge >= 0 else total
    o += edges.size
    out[row, o] = total
    out[row, o + 1] = words[at + S_COUNT] / total if total else np.nan
    return int(o + 2)


@jit
def _read_values(
    words: Words,
    layout: Layout,
    at: int,
    s: int,
    edges: NDArray[np.int64],
    out: NDArray[np.float64],
    row: int,
    o: int,
) -> int:
    """Read the values of signal ``s``, whose words begin at ``at``; return the place after them."""
    floats, count = words.view(np.float64), words[at + S_COUNT]
    total, own = floats[at + S_VALUE], at + layout.values
    out[row, o : o + 5 + edges.size] = np.nan
    if count:
        out[row, o] = floats[own + V_FIRST]
        out[row, o + 1] = floats[own + V_LAST]
        out[row, o + 2] = floats[own + V_LARGEST]
        out[row, o + 3] = total / count
        out[row, o + 4] = math.sqrt(max(floats[own + V_SPREAD], 0.0) / count)
    o += 5
    for w in range(edges.size):
        edge = edges[w]
        inside, worth = count, total
        if edge >= 0:
            inside -= words[edge + 1 + s]
            worth -= floats[edge + 1 + 2 * layout.signals + layout.valued[s]]
        if inside > 0:
            out[row, o + w] = worth / inside
    return int(o + edges.size)


@jit
def _read_calendar(c: int, out: NDArray[np.float64], row: int, o: int) -> None:
    """Read the weekday of an instant, Monday is 0, and its day of the month."""
    day = c // DAY
    out[row, o] = (day + 3) % 7
    # the days of an era of 400 years that begins on 1 March, so that leap days come last in a year
    of_era = (day + 719_468) % 146_097
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - 365 * year - year // 4 + year // 100
    month = (5 * of_year + 2) // 153
    out[row, o + 1] = of_year - (153 * month + 2) // 5 + 1
