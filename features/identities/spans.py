"""Which ids make which person from when to when, compiled; and the events of each."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.events.events import Events, Rows
from features.events.sort import grouped, order_rows
from features.events.spans import Spans
from features.identities.links import NEVER
from features.system.compiled import jit


@jit
def tops(n: int, alias: NDArray[np.int64], user: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each id the top of its tree."""
    above, top = np.full(n, -1), np.empty(n, dtype=np.int64)
    for i in range(alias.size):
        above[alias[i]] = user[i]
    for i in range(n):
        at = i
        while above[at] >= 0:
            at = above[at]
        top[i] = at
    return top


@jit
def sets_of(n: int, alias: NDArray[np.int64], user: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the sets of ids that any link joins, by their smallest id; -1 for ids that none joins."""
    first = np.arange(n)
    for i in range(alias.size):
        a, u = alias[i], user[i]
        while first[a] != a:
            first[a] = first[first[a]]
            a = first[a]
        while first[u] != u:
            first[u] = first[first[u]]
            u = first[u]
        first[max(a, u)] = min(a, u)
    joined = np.zeros(n, dtype=np.bool_)
    for i in range(alias.size):
        joined[alias[i]], joined[user[i]] = True, True
    number, found = np.full(n, -1), 0
    for i in range(n):  # the smallest id of a set comes first
        if joined[i]:
            at = i
            while first[at] != at:
                at = first[at]
            if at == i:
                number[i] = found
                found += 1
            else:
                number[i] = number[at]
    return number


@jit
def persons(
    sets: NDArray[np.int64], alias: NDArray[np.int64], user: NDArray[np.int64], since: NDArray[np.int64],
    until: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """All persons that sets of ids ever made.

    Args:
        sets: of each id its set, ascending.
        alias: of each link the id below.
        user: and the one above.
        since: the first cutoff that sees it.
        until: the first that does not any more.

    Returns:
        Of each person the id by which it is called, the cutoffs ``[since, until)`` at which it is one, where its ids
        begin in the last array, with the end, and the ids.
    """
    n = sets.size
    at = np.append(since, until)
    order = np.argsort(at, kind="mergesort")
    order = order[at[order] < NEVER]
    owner = sets[alias[order % alias.size]] if n else sets
    order = order[np.argsort(owner, kind="mergesort")]  # by set, within it by time
    above, top, now, began = np.full(n, -1), np.arange(n), np.arange(n), np.full(n, -NEVER)
    called, begins, ends, starts, members = [0], [0], [0], [0], [0]
    lo = e = 0
    while lo < n:
        hi = lo
        while hi < n and sets[hi] == sets[lo]:
            hi += 1
        last = False
        while not last:
            last = e == order.size or sets[alias[order[e] % alias.size]] != sets[lo]
            t = NEVER
            if not last:
                t = at[order[e]]
                e = _change(above, sets, order, at, alias, user, e)
            dirty = _moved(above, top, now, lo, hi, last)
            for r in range(lo, hi):
                if dirty[r - lo] and top[r] == r:
                    called.append(r)
                    begins.append(began[r])
                    ends.append(t)
                    starts.append(len(members))
                    for i in range(lo, hi):
                        if top[i] == r:
                            members.append(i)
                if dirty[r - lo] and now[r] == r:
                    began[r] = t
            top[lo:hi] = now[lo:hi]
        lo = hi
    starts.append(len(members))
    return (np.array(called[1:], dtype=np.int64), np.array(begins[1:], dtype=np.int64),
            np.array(ends[1:], dtype=np.int64), np.array(starts[1:], dtype=np.int64) - 1,
            np.array(members[1:], dtype=np.int64))  # fmt: skip


@jit
def _change(
    above: NDArray[np.int64], sets: NDArray[np.int64], order: NDArray[np.int64], at: NDArray[np.int64],
    alias: NDArray[np.int64], user: NDArray[np.int64], e: int,
) -> int:  # fmt: skip
    """Make the changes of one set at one instant; returns the place after them. What is undone goes first."""
    first, f = alias[order[e] % alias.size], e
    while f < order.size and at[order[f]] == at[order[e]] and sets[alias[order[f] % alias.size]] == sets[first]:
        if order[f] >= alias.size:
            above[alias[order[f] % alias.size]] = -1
        f += 1
    for k in range(e, f):
        if order[k] < alias.size:
            above[alias[order[k]]] = user[order[k]]
    return f


@jit
def _moved(
    above: NDArray[np.int64], top: NDArray[np.int64], now: NDArray[np.int64], lo: int, hi: int, last: bool
) -> NDArray[np.bool_]:
    """Find the tops of trees, and those whose ids have changed; at the end of all time, all of them."""
    dirty = np.full(hi - lo, last)
    for i in range(lo, hi):
        x = i
        while above[x] >= 0:
            x = above[x]
        now[i] = x
        if x != top[i]:
            dirty[x - lo], dirty[top[i] - lo] = True, True
    return dirty


@jit
def _rows(
    bounds: NDArray[np.int64], members: NDArray[np.int64], order: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of each person, and whose each is."""
    size = 0
    for m in members:
        size += starts[m + 1] - starts[m]
    rows, codes, at = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64), 0
    for p in range(bounds.size - 1):
        for m in members[bounds[p] : bounds[p + 1]]:
            for i in range(starts[m], starts[m + 1]):
                rows[at], codes[at] = order[i], p
                at += 1
    return rows, codes


@dataclass(frozen=True, slots=True)
class Persons:
    """All persons that some ids ever made.

    Attributes:
        names: the ids, by number.
        top: of each person the id by which it is called.
        since: it is one at the cutoffs ``[since, until)``.
        until: the end of that.
        bounds: person ``p`` is of the ids ``members[bounds[p]:bounds[p + 1]]``.
        members: ids.
    """

    names: pl.Series
    top: NDArray[np.int64]
    since: NDArray[np.int64]
    until: NDArray[np.int64]
    bounds: NDArray[np.int64]
    members: NDArray[np.int64]

    def events(self, rows: Rows, id_of: NDArray[np.int64], ends: int) -> Events | None:
        """Their events; None where there are none.

        Args:
            rows: the rows of their ids.
            id_of: of each user of the rows, which id it is.
            ends: the log is complete through this instant.
        """
        order, starts = grouped(id_of[rows.codes], len(self.names))
        taken, codes = _rows(self.bounds, self.members, order, starts)
        if not taken.size:
            return None
        n = self.top.size
        by = order_rows(codes, n, rows.t[taken], rows.visible[taken], rows.mask[taken], rows.values[taken])
        sizes, taken = np.bincount(codes, minlength=n), taken[by]
        seen = sizes > 0
        place = np.where(seen, np.cumsum(seen) - 1, -1)[np.repeat(np.arange(n), np.diff(self.bounds))]
        here = place >= 0
        return Events(
            users=self.names.gather(self.top[seen]).rename("user"),
            starts=np.concatenate([[0], np.cumsum(sizes[seen])]),
            t=rows.t[taken],
            visible=rows.visible[taken],
            mask=rows.mask[taken],
            values=rows.values[taken],
            ends=ends,
            spans=Spans(self.since[seen], self.until[seen], self.names.gather(self.members[here]), place[here]),
        )
