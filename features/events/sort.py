"""Sorting rows by user and time, compiled: a counting sort by user, then each user's rows, which mostly come sorted."""

import numpy as np
from numpy.typing import NDArray

from features.system.compiled import jit, of_any_arrays

#: so many rows are ordered by insertion, more by merging
MANY = 32


@jit
def hash_text(offsets: NDArray[np.int64], data: NDArray[np.uint8], out: NDArray[np.int64]) -> None:
    """Hash each text to 64 bits that are the same on every machine (FNV-1a, finished as MurmurHash3 does); never 0."""
    for i in range(out.size):
        h = np.uint64(14695981039346656037)
        for j in range(offsets[i], offsets[i + 1]):
            h = (h ^ np.uint64(data[j])) * np.uint64(1099511628211)
        h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
        h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
        out[i] = np.int64(max(h ^ (h >> np.uint64(33)), np.uint64(1)))


@jit
def _grouped(keys: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order rows by key, keeping their order within a key; keys below 0 are left out.

    Returns:
        The rows, and where each of the ``n`` keys begins, with the end.
    """
    starts = np.zeros(n + 1, dtype=np.int64)
    for key in keys:
        if key >= 0:
            starts[key + 1] += 1
    for key in range(n):
        starts[key + 1] += starts[key]
    at = starts.copy()
    order = np.empty(starts[n], dtype=np.int64)
    for row in range(keys.size):
        key = keys[row]
        if key >= 0:
            order[at[key]] = row
            at[key] += 1
    return order, starts


grouped = of_any_arrays(_grouped)


@jit
def _after(a: int, b: int, visible: NDArray[np.int64], mask: NDArray[np.int64], values: NDArray[np.float64]) -> bool:
    """Whether, of two rows of one user and one time, the first belongs after the second."""
    if mask[a] != mask[b]:
        return bool(mask[a] > mask[b])
    for v in range(values.shape[1]):
        if values[a, v] != values[b, v]:
            return bool(values[a, v] > values[b, v])
    return bool(visible[a] > visible[b])


@jit
def _order_many_ties(
    rows: NDArray[np.int64], visible: NDArray[np.int64], mask: NDArray[np.int64], values: NDArray[np.float64]
) -> None:
    """Order many rows of one user and one time by what they are, in place, by merging ever longer runs."""
    n, width = rows.size, 1
    while width < n:
        before = rows.copy()
        for begin in range(0, n, 2 * width):
            i, middle, end = begin, min(begin + width, n), min(begin + 2 * width, n)
            j = middle
            for at in range(begin, end):
                if j == end or (i < middle and not _after(before[i], before[j], visible, mask, values)):
                    rows[at] = before[i]
                    i += 1
                else:
                    rows[at] = before[j]
                    j += 1
        width *= 2


@jit
def _order_ties(
    rows: NDArray[np.int64], visible: NDArray[np.int64], mask: NDArray[np.int64], values: NDArray[np.float64]
) -> None:
    """Order rows of one user and one time by what they are, in place."""
    if rows.size > MANY:
        _order_many_ties(rows, visible, mask, values)
        return
    for i in range(1, rows.size):
        row, j = rows[i], i
        while j > 0 and _after(rows[j - 1], row, visible, mask, values):
            rows[j] = rows[j - 1]
            j -= 1
        rows[j] = row


@jit
def _order_times(rows: NDArray[np.int64], t: NDArray[np.int64]) -> None:
    """Order rows of one user by time, in place."""
    before = rows.copy()
    order = np.argsort(t[rows], kind="mergesort")
    for i in range(rows.size):  # by hand: an assignment of arrays is compiled with words for other shapes
        rows[i] = before[order[i]]


@of_any_arrays
@jit
def order_rows(
    codes: NDArray[np.int64],
    users: int,
    t: NDArray[np.int64],
    visible: NDArray[np.int64],
    mask: NDArray[np.int64],
    values: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Order rows by user, time and what they are.

    Args:
        codes: which user each row is of.
        users: how many users.
        t: event times.
        visible: first cutoffs that may see them.
        mask: signals they fire.
        values: ``[rows, valued signals]``.
    """
    order: NDArray[np.int64]
    order, starts = _grouped(codes, users)
    for u in range(users):
        rows = order[starts[u] : starts[u + 1]]
        for i in range(1, rows.size):
            if t[rows[i]] < t[rows[i - 1]]:
                _order_times(rows, t)
                break
        i = 0
        while i < rows.size:
            j = i + 1
            while j < rows.size and t[rows[j]] == t[rows[i]]:
                j += 1
            if j - i > 1:
                _order_ties(rows[i:j], visible, mask, values)
            i = j
    return order


@of_any_arrays
@jit
def set_of(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Make a hash table of ids, which `members` is asked of."""
    size = 64
    while size < 2 * ids.size:
        size *= 2
    table = np.zeros(size, dtype=np.int64)
    for x in ids:
        at = (x ^ (x >> 32)) & (size - 1)
        while table[at] != 0 and table[at] != x:
            at = (at + 1) & (size - 1)
        table[at] = x
    return table


@of_any_arrays
@jit
def members(table: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Flag the ids that are in a table of `set_of`; 0 is not an id."""
    size = table.size
    flags = np.zeros(ids.size, dtype=np.bool_)
    for i in range(ids.size):
        x = ids[i]
        at = (x ^ (x >> 32)) & (size - 1)
        while table[at] != 0:
            if table[at] == x:
                flags[i] = True
                break
            at = (at + 1) & (size - 1)
    return flags


@of_any_arrays
@jit
def hash_numbers(keys: NDArray[np.int64], salts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Hash pairs of numbers to ``[0, 2^63)``, the same on every machine (the finish of SplitMix64)."""
    out = np.empty(keys.size, dtype=np.int64)
    for i in range(keys.size):
        h = np.uint64(keys[i]) + np.uint64(salts[i]) * np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        out[i] = np.int64((h ^ (h >> np.uint64(31))) >> np.uint64(1))
    return out
