"""Counts of a log: how often each signal fires, and each outcome's population and base rate per cutoff."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from features.definition.schema import Definition
from features.definition.sections.learning import Snapshots as SnapshotRules
from features.errors import RefusalError
from features.event_store.stored_events import StoredEvents
from features.events.events import Events
from features.events.orders import without_lines
from features.expressions.program import holds
from features.local_days import zone_of
from features.snapshot import Snapshots, of_populations
from features.system.progress import Steps
from features.time import Instants, to_datetime
from segments.rfm_cuts import measured
from training.dataset.outcomes import label, last_cutoff, snapshot_cutoffs
from training.dataset.returns import Returns

#: of a log that is too short for any
NO_WEEKS = pl.DataFrame(
    schema={"cutoff": pl.Datetime("us", "UTC"), "eligible": pl.UInt32, "positives": pl.Int64, "total": pl.Float64,
            "outcome": pl.String}
)  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """Counts of a log, or of one bucket of it.

    Attributes:
        signals: ``events, users`` of each signal, in the definition's order.
        weeks: ``outcome, cutoff, eligible, positives, total``, sorted by cutoff.
        returns: how long users stay silent, by the index of the signal.
        users: all users.
        rfm: what RFM measures of users at the newest cutoff, in parts.
        short: why there is no cutoff to learn from, where the log is too short; then there are no weeks.
    """

    signals: pl.DataFrame
    weeks: pl.DataFrame
    returns: dict[int, Returns]
    users: pl.Series
    rfm: list[pl.DataFrame]
    short: str | None = None


def count(store: StoredEvents, steps: Steps) -> Counts:
    """Count what a log holds, in one pass over its buckets."""
    definition = store.log.definition
    cutoffs, short = _cutoffs(definition, store)
    counted = of_populations(definition).model_copy(update={"snapshots": SnapshotRules()})
    snapshots = Snapshots(counted, cutoffs)
    traits, zone = snapshots.traits(), zone_of(definition.timezone)
    silences = [
        list(definition.signals).index(rule.signal) for rule in definition.likelihoods.values() if rule.will_not
    ]

    def look(events: Events) -> Counts:
        newest = events.newest()
        begun = without_lines(newest, definition)
        signals = pl.DataFrame([_fired(begun, i) for i in range(len(definition.signals))])
        returns = {i: Returns.of(begun, i, zone) for i in silences}
        if short is not None:
            return Counts(signals, NO_WEEKS, returns, newest.users, [])
        weeks = pl.concat(_weeks(definition, snapshots.of(events, traits), events))
        return Counts(signals, weeks, returns, newest.users, list(measured(events, definition, int(cutoffs[-1]))))

    found = []
    with steps(f"features at {len(cutoffs)} cutoffs", len(store.buckets)) as advance:
        for counts in store.map(look):
            found.append(counts)
            advance(1)
    return replace(_together(found, silences), short=short)


def _fired(events: Events, signal: int) -> dict[str, int]:
    """How many events fire a signal, and how many users have one."""
    before = np.append(0, np.cumsum((events.mask >> signal) & 1))
    return {"events": int(before[-1]), "users": int(np.count_nonzero(np.diff(before[events.starts])))}


def _cutoffs(definition: Definition, store: StoredEvents) -> tuple[Instants, str | None]:
    """The cutoffs to learn from; none, and why, where the log is too short."""
    try:
        return snapshot_cutoffs(definition, store), None
    except RefusalError as error:
        return np.zeros(0, dtype=np.int64), str(error)


def _weeks(definition: Definition, rows: Iterator[pl.DataFrame], events: Events) -> Iterator[pl.DataFrame]:
    """Of each outcome at each matured cutoff: who is eligible, who is positive, and the sum of the answers."""
    for frame in rows:
        for name, rule in definition.outcomes.items():
            newest = to_datetime(last_cutoff(definition, name, events.ends))
            eligible = frame.filter(holds(rule.among, frame) & (pl.col("cutoff") <= newest))
            answers = eligible.select("user", "cutoff").with_columns(label(events, eligible, definition, name))
            amount = pl.col("label")
            yield answers.group_by("cutoff").agg(
                pl.len().alias("eligible"), (amount > 0).sum().alias("positives").cast(pl.Int64),
                amount.sum().cast(pl.Float64).alias("total"),
            ).with_columns(pl.lit(name).alias("outcome"))  # fmt: skip


def _together(parts: list[Counts], silences: list[int]) -> Counts:
    signals = parts[0].signals
    for part in parts[1:]:
        signals = signals + part.signals
    returns = {i: parts[0].returns[i] for i in silences}
    for part in parts[1:]:
        returns = {i: returns[i] + part.returns[i] for i in silences}
    weeks = pl.concat([part.weeks for part in parts]).group_by("outcome", "cutoff").sum().sort("cutoff")
    return Counts(
        signals, weeks, returns, pl.concat([part.users for part in parts]), [f for part in parts for f in part.rfm]
    )
