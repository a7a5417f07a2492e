"""The compared columns as an expert of Polars and NumPy would make them: one pass over the log for all cutoffs.

An event counts in a window at the cutoffs ``k`` with ``first <= k < gone``: from the first cutoff that sees it to the
first whose window begins after its day. So a window's counts are a running sum over the cutoffs, of what comes in less
what goes out, and a log is read, cleaned and summed by user and day once. Counts of all signals are packed into one
integer, 12 bits each and the activity signal on top: a user has at most 4,095 events of any other signal.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.features import days_of
from benchmarks.world import Log
from features.time import DAY, Instants, span_name

BITS, DAYS = 12, 4096
LANE = (1 << BITS) - 1
Ints = NDArray[np.int64]


def places(log: Log) -> dict[str, int]:
    """Where each signal's count is in a packed integer: the activity signal on top."""
    names = sorted(log.definition.signals, key=lambda name: name == log.definition.activity)
    return {name: BITS * at for at, name in enumerate(names)}


def lane(packed: Any, place: int, top: int) -> Any:
    """A signal's count out of a packed integer."""
    return packed >> place if place == top else (packed >> place) & LANE


def gone_at(cutoffs: Instants, window: int, days: Ints) -> Ints:
    """The first cutoff, by its place, whose window begins after a day."""
    return np.searchsorted((cutoffs - window) // DAY, days, side="right").astype(np.int64)


class Cells:
    """A cell for each user and cutoff, and one a user for what no cutoff sees any more.

    Args:
        users: of each row, by number.
        first: the first cutoff that sees each row.
        cutoffs: how many there are.
    """

    def __init__(self, users: Ints, first: Ints, cutoffs: int) -> None:
        self._width, self._first, self._base = cutoffs + 1, first, users * (cutoffs + 1)
        self._size = (int(users.max()) + 1) * self._width
        self.seen = self._rows(np.ones(len(first), dtype=np.int64)) > 0

    def sums(self, values: Ints, gone: Ints | None = None) -> Ints:
        """The running sums of the cells that are seen: what came in, less what is gone by then."""
        return self._rows(values, gone)[self.seen]

    def latest(self, values: Ints) -> Ints:
        """The running maxima of the cells that are seen."""
        cells = np.full(self._size, -1, dtype=np.int64)
        np.maximum.at(cells, self._base + self._first, values)
        return np.maximum.accumulate(cells.reshape(-1, self._width), axis=1)[:, :-1][self.seen]

    def _rows(self, values: Ints, gone: Ints | None = None) -> Ints:
        cells = np.zeros(self._size, dtype=np.int64)
        np.add.at(cells, self._base + self._first, values)
        if gone is not None:
            np.subtract.at(cells, self._base + np.maximum(self._first, gone), values)
        return cells.reshape(-1, self._width).cumsum(axis=1)[:, :-1]


def by_polars_expert(log: Log, cutoffs: Instants) -> pl.DataFrame:
    """Polars sums by user and day, NumPy runs over the cutoffs."""
    names, place, n = list(log.definition.signals), places(log), len(cutoffs)
    top = max(place.values())
    users, days = _polars_days(log, cutoffs)
    ud, first = days["ud"].to_numpy(), days["first"].to_numpy()
    day, cells = ud % DAYS + days["begin"][0], Cells(ud // DAYS, first, n)
    table = np.array([sum(1 << place[s] for i, s in enumerate(names) if m >> i & 1) for m in range(1 << len(names))])
    events, active = days["n"].to_numpy(), table[_fresh(ud, days["m"].to_numpy())]
    out: dict[str, Any] = {}
    for w in days_of(log.definition):
        gone = gone_at(cutoffs, w, day)
        counts, actives = cells.sums(events, gone), cells.sums(active, gone)
        for s in names:
            out[f"{s}_count_{span_name(w)}"] = lane(counts, place[s], top).astype(np.int32)
            out[f"{s}_active_days_{span_name(w)}"] = lane(actives, place[s], top).astype(np.int32)
    who, k = np.nonzero(cells.seen)
    total = cells.sums(events)
    for s in names:
        out[f"{s}_count_total"] = lane(total, place[s], top).astype(np.int32)
        latest = cells.latest(days[f"t_{s}"].fill_null(-1).to_numpy())
        out[f"days_since_{s}"] = np.where(latest < 0, np.nan, (cutoffs[k] - latest) / DAY)
    named = users["user"].gather(users["u"].search_sorted(pl.Series(who)))
    return pl.DataFrame({"user": named, "cutoff": cutoffs[k], **out})


def _fresh(ud: Ints, masks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The signals of each row that no row before it, of the same user and day, has."""
    fresh, back = masks.copy(), 1
    while (same := ud[back:] == ud[:-back]).any():
        fresh[back:][same] &= ~masks[:-back][same]
        back += 1
    return fresh


def _polars_days(log: Log, cutoffs: Instants) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A row a user, day and first cutoff that sees it, ascending; and the users by their number."""
    names, place, n = list(log.definition.signals), places(log), len(cutoffs)
    fired = [pl.sql_expr(rule.where) for rule in log.definition.signals.values()]
    rows = (
        pl.scan_parquet(f"{log.folder}/data/demo/events/*.parquet")
        .filter(~pl.col("user_id").str.starts_with("test-"))
        .select(
            user="user_id", id=pl.col("event_id").hash(), t=pl.col("event_time").to_physical(),
            arrived=pl.col("arrived_at").to_physical(),
            m=pl.sum_horizontal(pl.when(e).then(1 << i).otherwise(0).cast(pl.UInt8) for i, e in enumerate(fired)),
        )
        .filter(pl.col("m") != 0)
        .collect(engine="streaming")
    )  # fmt: skip
    ids = rows["id"].sort()
    twice = ids.filter(ids == ids.shift(1)).unique()
    again = rows["id"].is_in(twice.implode())
    rows = pl.concat(
        [rows.filter(~again), rows.filter(again).sort("t").unique("id", keep="first", maintain_order=True)]
    )
    coded = rows["user"].cast(pl.Categorical)
    code = coded.to_physical().cast(pl.Int64)
    users = pl.DataFrame({"user": coded, "u": code}).unique("u").sort("u").with_columns(pl.col("user").cast(pl.String))
    first = np.searchsorted(cutoffs, np.maximum(rows["t"].to_numpy() + 1, rows["arrived"].to_numpy()))
    begin = int(rows["t"].min() // DAY)  # type: ignore[operator]
    key = (code * DAYS + (rows["t"] // DAY - begin)) * (n + 1) + pl.Series(first)
    has = {s: (pl.col("m") & (1 << i)) != 0 for i, s in enumerate(names)}
    packed = pl.sum_horizontal(pl.when(has[s]).then(1 << place[s]).otherwise(0) for s in names)
    days = (
        rows.lazy().select("t", "m", key=key).filter(pl.col("key") % (n + 1) < n)
        .with_columns(n=packed, **{f"t_{s}": pl.when(has[s]).then("t") for s in names})
        .group_by("key").agg(pl.col("n").sum(), pl.col("m").bitwise_or(), *(pl.col(f"t_{s}").max() for s in names))
        .collect(engine="streaming").sort("key")
        .with_columns(ud=pl.col("key") // (n + 1), first=pl.col("key") % (n + 1), begin=pl.lit(begin))
    )  # fmt: skip
    return users, days
