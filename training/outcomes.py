"""Labels: did the outcome happen in ``[c + gap, c + gap + horizon)``?"""

import polars as pl

from features.definition.schema import Definition
from features.errors import ImmatureLabelError, RefusalError
from features.log.events import Events
from features.log.log import Log
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


def label(events: Events, rows: pl.DataFrame, definition: Definition, outcome: str) -> pl.Series:
    """Label rows.

    Args:
        events: the log.
        rows: columns ``user`` and ``cutoff`` (UTC).
        definition: the definition.
        outcome: which question.

    Returns:
        ``label``, 1 where the outcome happened, in the order of the rows. Events count by event time, whenever they
        arrived: by the end of maturity all of them have.

    Raises:
        ImmatureLabelError: a row's label window, with its maturity delay, runs past the end of the log.
    """
    rule = definition.outcomes[outcome]
    cutoff = pl.col("cutoff").dt.epoch("us")
    asked = rows.select("user", (cutoff + rule.gap).alias("start")).with_row_index("row")
    newest = asked["start"].max()
    if isinstance(newest, int) and newest - rule.gap > last_cutoff(definition, outcome, events.ends):
        raise ImmatureLabelError(
            f"{outcome} at {to_datetime(newest - rule.gap).isoformat()} is known {span_name(rule.reach)} later, "
            f"but the log ends at {to_datetime(events.ends).isoformat()}.",
            fix=f"ask for cutoffs up to {to_datetime(last_cutoff(definition, outcome, events.ends)).isoformat()}",
        )
    fired = events.of_signal(list(definition.signals).index(rule.signal))
    ahead = asked.sort("start").join_asof(
        fired, left_on="start", right_on="t", by="user", strategy="forward", check_sortedness=False
    )
    happened = (pl.col("t") < pl.col("start") + rule.within).fill_null(False)
    answer = happened if rule.will else ~happened
    return ahead.with_columns(answer.cast(pl.Int8).alias("label")).sort("row")["label"]
