"""The profile: one user's signals in a run of 64-bit words, which the kernel folds, the stores keep packed.

Words hold integers, or floats bit by bit. A header, a block a signal, sketches and more, then the active-day tiles:

    header   version, tiles, first time, last time, latest visible-from, events, 4 parts of the day, weekend
    signal   first, last, count, active days, sum of squared gaps, last gap, value, comeback, decayed counts, 16 last
             times; where they are asked for: largest gap, 16 last gaps; first, last, largest value and spread;
             sessions
    sketch   of each property whose different values are counted: how many are kept, and those
    more     of each further value of a signal, where it is asked for: first, last, largest and spread
    orders   of each signal whose rows are lines of orders: the keys of the last 16 orders
    kept     of each signal with refunds: of the last 16 orders what each is worth, what was given back of it, its time
             and its day; of those before that stand the first and the last time, and their days
    plans    of each signal that is a plan's charge: of the last 16 rows what is paid a month, through when, and their
             times; the first time that anything was paid
    tile     day; count, active days, value and sessions of each signal, each further value, and of signals with refunds
             the orders that stand and the days with one, through that day (only days with events)

Tiles hold running totals, so that what a window holds is a difference of two. Refunds are taken from the values of
tiles; the value of a signal is that of its events alone, from which the spread of values is computed.
A gap is the number of days between two consecutive active days of a signal; their sum is the last minus the first.
A comeback is the last event that ended an absence, as the time since the first event; 0 where there was none.
Spread is the sum of squared distances from the mean. Four gaps share a word.
A sketch keeps the smallest keys of a property's values, ascending, each with the last day it was seen in one word: all
of them while there are no more than `KEPT`, then a sample whose largest key tells how many there are (KMV).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.definition.columns import share_window, trend_pairs
from features.definition.memoise import kept
from features.definition.numbers import order_keys, plan_months, refundable
from features.definition.schema import Definition
from features.definition.sections.families import Family
from features.events.orders import REMEMBERED
from features.local_days import Zone, zone_of
from features.time import DAY

Words = NDArray[np.int64]

#: later than any cutoff
NEVER = 2**63 - 1

VERSION = 3
RING = 16
HEADER = 11
(H_VERSION, H_TILES, H_FIRST, H_LAST, H_VISIBLE, H_EVENTS, H_PART, H_WEEKEND) = (0, 1, 2, 3, 4, 5, 6, 10)
(S_FIRST, S_LAST, S_COUNT, S_DAYS, S_GAP_SQUARES, S_LAST_GAP, S_VALUE, S_COMEBACK, S_DECAYED) = range(9)

#: of a signal's gaps: the largest, then the last ones, so many in a word; one is at most this long
(G_LARGEST, G_RING) = (0, 1)
GAPS_A_WORD, GAP_BITS = 4, 16
GAP = (1 << GAP_BITS) - 1
GAP_WORDS = G_RING + RING // GAPS_A_WORD

#: of a signal's values
(V_FIRST, V_LAST, V_LARGEST, V_SPREAD, VALUE_WORDS) = range(5)

#: of a sketch: how many keys are kept, one more where there were others; then so many, each with a day in its low bits
KEPT = 64
SKETCH_WORDS = 1 + KEPT
DAY_BITS = 19
DAY_ZERO = 1 << (DAY_BITS - 1)

#: of the last orders of a signal with refunds, so many of each; then of those before them that stand
(K_WORTH, K_GIVEN, K_TIME, K_DAY) = (0, REMEMBERED, 2 * REMEMBERED, 3 * REMEMBERED)
(K_FIRST, K_LAST, K_FIRST_DAY, K_LAST_DAY, KEPT_WORDS) = range(4 * REMEMBERED, 4 * REMEMBERED + 5)

#: of the last rows of a plan's charge, so many of each; then the first time that anything was paid
(M_AMOUNT, M_UNTIL, M_TIME, M_FIRST, PLAN_WORDS) = (0, RING, 2 * RING, 3 * RING, 3 * RING + 1)

#: what `Layout.plan` says of a signal: where its block, gaps, sessions and values begin; how long a silence ends a
#: session, where a tile counts sessions; the columns of an event's numbers for its value, further values and keys; and
#: which further values and sketches are its own, and where those begin; where its orders begin, the column of their
#: keys, and whether any signal has such; where its kept orders begin, and where a tile counts them; where the tiles
#: begin, and how long one is; where what is kept of a plan's charge begins, the column of months, the time of grace,
#: and how long before a cutoff it is compared with
(
    P_BLOCK, P_GAPS, P_SESSIONS, P_SESSION, P_SESSION_TILE, P_VALUES, P_VALUED, P_ADDED, P_ADDED_END, P_ADDED_COLUMN,
    P_SUMS, P_STATISTICS, P_DISTINCT, P_DISTINCT_END, P_KEYS, P_SKETCHES, P_ORDERS, P_ORDER_KEY, P_ORDERED,
    P_KEPT, P_KEPT_TILE, P_TILES, P_TILE, P_RECURRING, P_MONTHS, P_GRACE, P_OVER,
) = range(27)  # fmt: skip


class Layout(NamedTuple):
    """Where things stand in a profile and what is read from it; a tuple, so that numba takes it.

    Attributes:
        signals: number of signals.
        activity: index of the activity signal.
        valued: for each signal its place among the valued ones, or -1.
        n_valued: number of valued signals.
        decay: rate of each decayed count a microsecond: ``ln 2 / half-life``.
        windows: ascending window lengths, in microseconds; those under a day are read from the last times.
        n_short: how many of the windows are under a day.
        trends: pairs of indices into the windows of a day or more: a window and its double.
        share: index into the windows of a day or more for the share of activity.
        absence: the shortest gap that is an absence, in microseconds; a day or more.
        gaps: where in a signal's words its gaps stand, -1 where the definition does not ask for them.
        values: the same of its values.
        sessions: the same of the number of its sessions; tiles have one of each signal then, after their values.
        session: the shortest gap that ends a session, in microseconds.
        calendar: whether columns of the calendar are asked for.
        zone: how far clocks are from UTC where the users live: days, hours and weekends are theirs.
        plan: ``[signals, 27]``: of each signal where things stand that are seldom asked for, in one array: each further
            part of the layout makes every call slower.
        more: whether any of these is asked for.
        block: words of a signal.
        tiles_at: where the tiles begin.
        tile: words of a tile.
        keep_days: how many days of tiles a cutoff can ask for.
        capacity: tiles a profile has room for while it is folded.
    """

    signals: int
    activity: int
    valued: NDArray[np.int64]
    n_valued: int
    decay: NDArray[np.float64]
    windows: NDArray[np.int64]
    n_short: int
    trends: NDArray[np.int64]
    share: int
    absence: int
    gaps: int
    values: int
    sessions: int
    session: int
    calendar: bool
    zone: Zone
    plan: NDArray[np.int64]
    more: bool
    block: int
    tiles_at: int
    tile: int
    keep_days: int
    capacity: int

    @property
    def size(self) -> int:
        """Words of a profile with room to fold."""
        return self.tiles_at + self.capacity * self.tile


@kept
def layout_of(definition: Definition) -> Layout:
    """Lay a profile out for a definition."""
    families, windows = definition.features.families, definition.windows
    long = [w for w in windows if w >= DAY]
    keep_days = long[-1] // DAY
    places = _places(definition)
    trends = [(long.index(w), long.index(d)) for w, d in trend_pairs(windows)]
    return Layout(
        signals=len(definition.signals),
        activity=list(definition.signals).index(definition.activity),
        valued=places.valued,
        n_valued=places.n_valued,
        decay=np.log(2.0) / np.array(definition.half_lives, dtype=np.float64),
        windows=np.array(windows, dtype=np.int64),
        n_short=len(windows) - len(long),
        trends=np.array(trends, dtype=np.int64).reshape(-1, 2),
        share=long.index(share_window(windows)),
        absence=definition.features.absence,
        gaps=places.gaps,
        values=places.values,
        sessions=places.sessions,
        session=definition.features.session,
        calendar=Family.CALENDAR in families,
        zone=zone_of(definition.timezone),
        plan=_plan(definition, places),
        more=bool(families)
        or bool(places.distinct[-1] or places.added[-1])
        or bool(refundable(definition) or plan_months(definition)),
        block=places.block,
        tiles_at=places.tiles,
        tile=places.tile,
        keep_days=keep_days,
        capacity=2 * (keep_days + 3),  # twice, so that old tiles are dropped in bulk and seldom
    )


class _Places(NamedTuple):
    """Where the parts of a profile stand; ``distinct`` and ``added`` are running totals over the signals."""

    valued: NDArray[np.int64]
    n_valued: int
    gaps: int
    values: int
    sessions: int
    block: int
    distinct: NDArray[np.int64]
    added: NDArray[np.int64]
    sketches: int
    statistics: int
    orders: int
    sums: int
    kept: int
    kept_tile: int
    plans: int
    tiles: int
    tile: int


def _places(definition: Definition) -> _Places:
    rules, families = list(definition.signals.values()), definition.features.families
    valued = np.full(len(rules), -1, dtype=np.int64)
    with_value = [i for i, rule in enumerate(rules) if rule.value is not None]
    valued[with_value] = np.arange(len(with_value))
    block = S_DECAYED + len(definition.half_lives) + RING
    gaps, block = (block, block + GAP_WORDS) if Family.GAPS in families else (-1, block)
    values, block = (block, block + VALUE_WORDS) if Family.VALUES in families else (-1, block)
    sessions, block = (block, block + 1) if Family.SESSIONS in families else (-1, block)
    distinct = np.cumsum([0, *(len(rule.distinct) for rule in rules)])
    added = np.cumsum([0, *(len(rule.more_values) for rule in rules)])
    sketches = HEADER + len(rules) * block
    statistics = sketches + int(distinct[-1]) * SKETCH_WORDS
    orders = statistics + (int(added[-1]) * VALUE_WORDS if values >= 0 else 0)
    sums = 1 + 2 * len(rules) + len(with_value) + (len(rules) if sessions >= 0 else 0)
    kept_orders, kept_tile = orders + len(order_keys(definition)) * REMEMBERED, sums + int(added[-1])
    returns = refundable(definition)
    plans, tile = kept_orders + len(returns) * KEPT_WORDS, kept_tile + 2 * len(returns)
    tiles = plans + len(plan_months(definition)) * PLAN_WORDS
    return _Places(valued, len(with_value), gaps, values, sessions, block, distinct, added, sketches, statistics,
                   orders, sums, kept_orders, kept_tile, plans, tiles, tile)  # fmt: skip


def _plan(definition: Definition, places: _Places) -> NDArray[np.int64]:
    """`Layout.plan`."""
    p, n_signals = places, len(definition.signals)
    keys, session_tile = p.n_valued + int(p.added[-1]), 1 + 2 * n_signals + p.n_valued
    begins = [HEADER + s * p.block for s in range(n_signals)]
    orders = {s: (p.orders + i * REMEMBERED, column) for i, (s, column) in enumerate(order_keys(definition))}
    returns = {s: (p.kept + i * KEPT_WORDS, p.kept_tile + 2 * i) for i, s in enumerate(refundable(definition))}
    charges = {
        s: (p.plans + i * PLAN_WORDS, column, rule.grace, rule.over)
        for i, (s, column) in enumerate(plan_months(definition))
        if (rule := list(definition.signals.values())[s].recurring) is not None
    }
    return np.array(
        [
            (at, *(at + part if part >= 0 else -1 for part in (p.gaps, p.sessions)), definition.features.session,
             session_tile + s, at + p.values if p.values >= 0 else -1, p.valued[s], p.added[s], p.added[s + 1],
             p.n_valued, p.sums, p.statistics, p.distinct[s], p.distinct[s + 1], keys, p.sketches,
             *orders.get(s, (-1, -1)), bool(orders), *returns.get(s, (-1, -1)), p.tiles, p.tile,
             *charges.get(s, (-1, -1, 0, 0)))
            for s, at in enumerate(begins)
        ],
        dtype=np.int64,
    )  # fmt: skip
