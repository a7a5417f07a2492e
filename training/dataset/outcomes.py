"""Labels: did the outcome happen in ``[c + gap, c + gap + horizon)``, and what was it worth?"""

import numba as nb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome
from features.engines.refunds import REFUND
from features.errors import ImmatureLabelError, RefusalError
from features.events.events import Events
from features.events.log import Log
from features.events.orders import without_lines
from features.system.compiled import of_any_arrays
from features.time import Instants, schedule, span_name, to_datetime


def last_cutoff(definition: Definition, outcome: str, ends: int) -> int:
    """The newest cutoff whose label is known: the log's end minus gap, horizon and maturity."""
    return ends - definition.outcomes[outcome].reach


def snapshot_cutoffs(definition: Definition, log: Log) -> Instants:
    """Cutoffs to learn from: back from the newest one that some outcome's label is known for.

    Raises:
        RefusalError: ``log_too_short``: the log is shorter than warm-up and label window.
    """
    rules = definition.snapshots
    newest = max(last_cutoff(definition, name, log.ends) for name in definition.outcomes)
    oldest = log.first + rules.warm_up
    if newest < oldest:
        reach = min(rule.reach for rule in definition.outcomes.values())
        raise RefusalError(
            "log_too_short",
            found=f"a log from {to_datetime(log.first):%Y-%m-%d %H:%M} to {to_datetime(log.ends):%Y-%m-%d %H:%M}",
            needed=f"{span_name(rules.warm_up)} of warm-up and {span_name(reach)} of gap, horizon and maturity",
            fix="bring a longer log, or shorten snapshots.warm_up and the outcomes' 'within'",
        )
    count = min(rules.count, int((newest - oldest) // rules.stride) + 1)
    cutoffs = schedule(newest=newest, stride=rules.stride, count=count, spread=rules.spread)
    return cutoffs[cutoffs >= oldest]


def check_matured(definition: Definition, outcome: str, cutoffs: Instants, ends: int) -> None:
    """See that there is a cutoff whose label is known.

    Raises:
        RefusalError: ``log_too_short``: there is none.
    """
    rule = definition.outcomes[outcome]
    newest = last_cutoff(definition, outcome, ends)
    if cutoffs[0] > newest:
        raise RefusalError(
            "log_too_short",
            found=f"no matured cutoff for {outcome}: the first is {to_datetime(int(cutoffs[0])):%Y-%m-%d %H:%M}, and "
            f"labels are known up to {to_datetime(newest):%Y-%m-%d %H:%M}",
            needed=f"a cutoff after the warm-up and {span_name(rule.reach)} before the end of the log",
            fix="shorten 'within', lower snapshots.warm_up, or bring a longer log",
        )


def label(events: Events, rows: pl.DataFrame, definition: Definition, outcome: str) -> pl.Series:
    """Label rows.

    Args:
        events: the log.
        rows: columns ``user`` and ``cutoff`` (UTC).
        definition: the definition.
        outcome: which question.

    Returns:
        ``label``, in the order of the rows: 1 where the outcome happened and 0 where not; of a value outcome the sum,
        at least 0. Events count by event time, whenever they arrived: by the end of maturity all of them have.

    Raises:
        ImmatureLabelError: a row's label window, with its maturity delay, runs past the end of the log.
    """
    rule = definition.outcomes[outcome]
    cutoff = pl.col("cutoff").dt.epoch("us")
    asked = rows.select("user", (cutoff + rule.gap).alias("start"))
    newest = asked["start"].max()
    if isinstance(newest, int) and newest - rule.gap > last_cutoff(definition, outcome, events.ends):
        raise ImmatureLabelError(
            f"{outcome} at {to_datetime(newest - rule.gap).isoformat()} is known {span_name(rule.reach)} later, "
            f"but the log ends at {to_datetime(events.ends).isoformat()}.",
            fix=f"ask for cutoffs up to {to_datetime(last_cutoff(definition, outcome, events.ends)).isoformat()}",
        )
    # whose the id is by then: who comes back under another id has come back, though a cutoff must not know it yet
    place = events.place_of(asked["user"], asked["start"].to_numpy() + rule.reach - rule.gap)
    if isinstance(rule, Outcome):
        return _happened(events, place, asked["start"], definition, rule)
    return _worth(events, place, asked["start"], definition, rule.signal, rule.within).clip(0.0)


def _happened(
    events: Events, place: NDArray[np.int64], start: pl.Series, definition: Definition, rule: Outcome
) -> pl.Series:
    fired = without_lines(events, definition).of_signal(list(definition.signals).index(rule.signal))
    asked = pl.DataFrame({"place": place, "start": start}).with_row_index("row")
    ahead = asked.sort("start").join_asof(
        fired, left_on="start", right_on="t", by="place", strategy="forward", check_sortedness=False
    )
    happened = (pl.col("t") < pl.col("start") + rule.within).fill_null(False)
    answer = happened if rule.will else ~happened
    return ahead.with_columns(answer.cast(pl.Int8).alias("label")).sort("row")["label"]


def worth_within(events: Events, rows: pl.DataFrame, definition: Definition, signal: str, within: int) -> pl.Series:
    """What a signal is worth in ``[cutoff, cutoff + within)``, row by row; below 0 for who gave back more."""
    start = rows["cutoff"].dt.epoch("us")
    return _worth(events, events.place_of(rows["user"], start.to_numpy() + within), start, definition, signal, within)


def _worth(
    events: Events, place: NDArray[np.int64], start: pl.Series, definition: Definition, signal: str, within: int
) -> pl.Series:
    sums = _sums(
        place, start.to_numpy(), within, events.starts, events.t, events.mask, events.values,
        list(definition.signals).index(signal), definition.valued.index(signal),
    )  # fmt: skip
    return pl.Series("label", sums)


@of_any_arrays
@nb.njit(cache=True, nogil=True)
def _sums(
    place: NDArray[np.int64], start: NDArray[np.int64], within: int, starts: NDArray[np.int64], t: NDArray[np.int64],
    mask: NDArray[np.int64], values: NDArray[np.float64], signal: int, column: int,
) -> NDArray[np.float64]:  # fmt: skip
    """Add up a user's events in ``[start, start + within)``, each sum by itself: no differences of running totals."""
    found = np.zeros(place.size)
    for row in range(place.size):
        if place[row] < 0:
            continue
        at, last = starts[place[row]], starts[place[row] + 1]
        after = last
        while at < after:  # the first that is not before
            middle = (at + after) // 2
            if t[middle] < start[row]:
                at = middle + 1
            else:
                after = middle
        while at < last and t[at] < start[row] + within:
            if (mask[at] >> signal) & 1 or mask[at] >= REFUND:  # what a refund does not take away is 0
                found[row] += values[at, column]
            at += 1
    return found
