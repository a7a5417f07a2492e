"""The families of features that a definition switches on: folded and read beside those that everybody has."""

import math

import numpy as np
from numpy.typing import NDArray

from features.profile.kernel.days import day_of
from features.profile.kernel.kept import begin_order, read_kept
from features.profile.kernel.recurring import note_charge, read_plan
from features.profile.kernel.sketch import fold_keys, read_sketch
from features.profile.layout import (
    G_LARGEST,
    G_RING,
    GAP,
    GAP_BITS,
    GAPS_A_WORD,
    H_TILES,
    HEADER,
    P_ADDED,
    P_ADDED_COLUMN,
    P_ADDED_END,
    P_BLOCK,
    P_DISTINCT,
    P_DISTINCT_END,
    P_GAPS,
    P_KEPT,
    P_MONTHS,
    P_ORDERS,
    P_RECURRING,
    P_SESSION,
    P_SESSION_TILE,
    P_SESSIONS,
    P_SKETCHES,
    P_STATISTICS,
    P_SUMS,
    P_VALUED,
    P_VALUES,
    RING,
    S_COUNT,
    S_DAYS,
    S_FIRST,
    S_VALUE,
    SKETCH_WORDS,
    V_FIRST,
    V_LARGEST,
    V_LAST,
    V_SPREAD,
    VALUE_WORDS,
    Layout,
    Words,
)
from features.system.compiled import jit


@jit
def fold_more(
    words: Words,
    plan: NDArray[np.int64],
    s: int,
    tile: int,
    count: int,
    last: int,
    now: int,
    day: int,
    gap: int,
    numbers: NDArray[np.float64],
    i: int,
) -> None:
    """Fold an event of a signal into what the definition asks for beside what everybody has.

    Args:
        words: the profile; the event is in what everybody has, but for its value.
        plan: where things stand, `profile.Layout.plan`.
        s: the signal.
        tile: where the tile of the event's day begins.
        count: how many events of the signal came before.
        last: the time of the last of those.
        now: the time of the event.
        day: its day.
        gap: how many days lie between the last day of the signal and this one.
        numbers: the numbers of events.
        i: which event.
    """
    floats, at = words.view(np.float64), plan[s, P_BLOCK]
    if plan[s, P_GAPS] >= 0 and gap > 0:
        fold_gap(words, plan[s, P_GAPS], words[at + S_DAYS] - 2, gap)
    sessions = plan[s, P_SESSIONS]
    if sessions >= 0:
        words[sessions] += count == 0 or now - last >= plan[s, P_SESSION]
        words[tile + plan[s, P_SESSION_TILE]] = words[sessions]
    tied, still, of_values, v = now == last, now == words[at + S_FIRST], plan[s, P_VALUES], plan[s, P_VALUED]
    if of_values >= 0 and v >= 0:
        fold_value(floats, of_values, count, numbers[i, v], floats[at + S_VALUE], tied, still)
    for a in range(plan[s, P_ADDED], plan[s, P_ADDED_END]):
        total, value = tile + plan[s, P_SUMS] + a, numbers[i, plan[s, P_ADDED_COLUMN] + a]
        if of_values >= 0:
            fold_value(floats, plan[s, P_STATISTICS] + a * VALUE_WORDS, count, value, floats[total], tied, still)
        floats[total] += value
    if plan[s, P_KEPT] >= 0:
        begin_order(words, plan, s, tile, count, now, day, numbers[i, v])
    if plan[s, P_RECURRING] >= 0:
        note_charge(words, plan, s, count, now, numbers[i, v], numbers[i, plan[s, P_MONTHS]])
    fold_keys(words, plan, s, day, numbers, i)


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
        out: ``out[:, row]`` gets the columns.
        row: which row.
        o: the first of their columns.
    """
    for s in range(layout.signals):
        at, v = HEADER + s * layout.block, layout.valued[s]
        if layout.gaps >= 0:
            days = words[at + S_DAYS]
            out[o, row] = _median_gap(words, at + layout.gaps, days - 1) if days > 1 else np.nan
            out[o + 1, row] = words[at + layout.gaps + G_LARGEST] if days > 1 else np.nan
            o += 2
        if layout.sessions >= 0:
            o = _read_sessions(words, layout, at, s, edges, out, row, o)
        if layout.values >= 0 and v >= 0:
            place = 1 + 2 * layout.signals + v
            total = words.view(np.float64)[layout.tiles_at + (words[H_TILES] - 1) * layout.tile + place]
            mean = layout.plan[s, P_ORDERS] >= 0
            o = _read_values(words, s, at + layout.values, words[at + S_COUNT], total, place, edges, out, row, o, mean)
        for a in range(layout.plan[s, P_ADDED], layout.plan[s, P_ADDED_END]):
            o = _read_added(words, layout, s, a, edges, out, row, o)
        for p in range(layout.plan[s, P_DISTINCT], layout.plan[s, P_DISTINCT_END]):
            o = read_sketch(words, layout, layout.plan[s, P_SKETCHES] + p * SKETCH_WORDS, c, out, row, o)
        if layout.plan[s, P_KEPT] >= 0:
            o = read_kept(words, layout, s, c, edges, out, row, o)
        if layout.plan[s, P_RECURRING] >= 0:
            o = read_plan(words, layout.plan, s, c, out, row, o)
    if layout.calendar:
        _read_calendar(day_of(layout.zone, c), out, row, o)


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
        out[o + w, row] = total - words[edge + first + s] if edge >= 0 else total
    o += edges.size
    out[o, row] = total
    out[o + 1, row] = words[at + S_COUNT] / total if total else np.nan
    return int(o + 2)


@jit
def _read_added(
    words: Words, layout: Layout, s: int, a: int, edges: NDArray[np.int64], out: NDArray[np.float64], row: int, o: int
) -> int:
    """Read the further value ``a``, which is one of signal ``s``; return the place after it."""
    floats, place = words.view(np.float64), layout.plan[s, P_SUMS] + a
    total = floats[layout.tiles_at + (words[H_TILES] - 1) * layout.tile + place]
    for w in range(edges.size):
        out[o + w, row] = total - (floats[edges[w] + place] if edges[w] >= 0 else 0.0)
    o += edges.size
    out[o, row] = total
    o += 1
    if layout.values >= 0:
        own, count = layout.plan[s, P_STATISTICS] + a * VALUE_WORDS, words[HEADER + s * layout.block + S_COUNT]
        o = _read_values(words, s, own, count, total, place, edges, out, row, o, layout.plan[s, P_ORDERS] >= 0)
    return int(o)


@jit
def _read_values(
    words: Words,
    s: int,
    own: int,
    count: int,
    total: float,
    place: int,
    edges: NDArray[np.int64],
    out: NDArray[np.float64],
    row: int,
    o: int,
    mean: bool,
) -> int:
    """Read the statistics of a value.

    Args:
        words: the profile.
        s: the signal.
        own: where what is kept of the value begins.
        count: how many events the signal has.
        total: what the value adds up to.
        place: where its running totals stand in a tile.
        edges: what each window leaves out.
        out: ``out[:, row]`` gets the columns.
        row: which row.
        o: the first of them.
        mean: of orders only the mean is known, as their rows are lines.

    Returns:
        The place after them.
    """
    floats = words.view(np.float64)
    if mean:
        out[o, row] = total / count if count else np.nan
        o -= 4
    else:
        out[o : o + 5, row] = np.nan
    out[o + 5 : o + 5 + edges.size, row] = np.nan
    if count and not mean:
        out[o, row] = floats[own + V_FIRST]
        out[o + 1, row] = floats[own + V_LAST]
        out[o + 2, row] = floats[own + V_LARGEST]
        out[o + 3, row] = total / count
        out[o + 4, row] = math.sqrt(max(floats[own + V_SPREAD], 0.0) / count)
    o += 5
    for w in range(edges.size):
        edge = edges[w]
        inside, worth = count, total
        if edge >= 0:
            inside -= words[edge + 1 + s]
            worth -= floats[edge + place]
        if inside > 0:
            out[o + w, row] = worth / inside
    return int(o + edges.size)


@jit
def _read_calendar(day: int, out: NDArray[np.float64], row: int, o: int) -> None:
    """Read the weekday of a day, Monday is 0, and its day of the month."""
    out[o, row] = (day + 3) % 7
    # the days of an era of 400 years that begins on 1 March, so that leap days come last in a year
    of_era = (day + 719_468) % 146_097
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - 365 * year - year // 4 + year // 100
    month = (5 * of_year + 2) // 153
    out[o + 1, row] = of_year - (153 * month + 2) // 5 + 1
