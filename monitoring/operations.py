"""Operational findings: whether batches run, profiles are fresh, segments keep their size, and destinations take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.definition.schema import Definition
from features.time import DAY, HOUR, span_name, to_datetime
from monitoring.findings import Finding
from serving.published.kpis import Audience

#: a batch is late after so many usual intervals, known from so many intervals
LATE, LEAST_INTERVALS = 2.0, 2

#: a size jumps beyond so many usual deviations (1.4826 MAD, as of a normal), by at least so many users
DEVIATIONS, LEAST_USERS = 6.0, 30

#: changes before the last that say what is usual; and the least that counts as usual, as a logarithm of a ratio
LEAST_CHANGES, LEAST_SPREAD = 6, 0.01

#: a destination is stuck when its oldest message waits so long, or so many requests failed since one was taken
STUCK_AFTER, STUCK_FAILURES = 6 * HOUR, 5


@dataclass(frozen=True, slots=True)
class Running:
    """How the jobs and destinations of a definition go.

    Attributes:
        batches: the instants of all stored batches of scores, ascending.
        profiles: the kept profiles hold the log through this instant; None where there are none.
        audiences: who is in what over time.
        outbox: the destinations, as `Outbox.status` has them.
    """

    batches: Sequence[int]
    profiles: int | None
    audiences: Sequence[Audience]
    outbox: pl.DataFrame


def operational(running: Running, definition: Definition, as_of: int) -> list[Finding]:
    """Name what does not run as it should.

    Args:
        running: how it goes.
        definition: the definition.
        as_of: the instant of now: the log's end, or the machine's time where a scheduler passes it.
    """
    return [
        *_batches(running.batches, as_of),
        *_profiles(running.profiles, definition.scoring.max_age, as_of),
        *(found for one in running.audiences if (found := _segment(one)) is not None),
        *_destinations(running.outbox, as_of),
    ]


def _shown(instant: int) -> str:
    return f"{to_datetime(instant):%Y-%m-%d %H:%M} UTC"


def _days(span: float) -> str:
    return f"{span / DAY:.1f} days"


def _batches(batches: Sequence[int], as_of: int) -> list[Finding]:
    past = [at for at in batches if at <= as_of]
    intervals = np.diff(past[-31:])
    if intervals.size < LEAST_INTERVALS:
        return []
    usual, waited = float(np.median(intervals)), as_of - past[-1]
    if waited <= LATE * usual:
        return []
    words = (
        f"no batch of scores since {_shown(past[-1])}, {_days(waited)} before {_shown(as_of)}; one every "
        f"{_days(usual)} is usual"
    )
    action = "see why the scheduler did not run propensity nightly, or propensity score, and run it"
    return [Finding("scores", "batch_missing", True, words, action)]


def _profiles(through: int | None, limit: int, as_of: int) -> list[Finding]:
    if through is None or as_of - through <= limit:
        return []
    words = (
        f"the kept profiles hold the log through {_shown(through)}, {_days(as_of - through)} before {_shown(as_of)}; "
        f"from {span_name(limit)} on (scoring.max_age) users are not scored"
    )
    action = "run propensity materialize, or propensity compact where there is a live log"
    return [Finding("profiles", "profiles_old", True, words, action)]


def _segment(audience: Audience) -> Finding | None:
    """A segment whose last change of size is far from those before it."""
    # days on which nobody moved had no batch
    sizes = [one.size for i, one in enumerate(audience.days) if i == 0 or one.entered or one.left]
    if not audience.name.startswith("segments.") or len(sizes) < LEAST_CHANGES + 2:
        return None
    changes = np.diff(np.log1p(sizes))
    before, last = changes[:-1], float(changes[-1])
    middle = float(np.median(before))
    spread = max(LEAST_SPREAD, 1.4826 * float(np.median(np.abs(before - middle))))
    if abs(last - middle) <= DEVIATIONS * spread or abs(sizes[-1] - sizes[-2]) < LEAST_USERS:
        return None
    name = audience.name.partition(".")[2]
    words = (
        f"{name} went from {sizes[-2]:,} to {sizes[-1]:,} users ({math.expm1(last):+.0%}) by {audience.days[-1].day}; "
        f"{math.expm1(spread):.0%} more or less is usual"
    )
    action = (
        f"see whether a release, a campaign or the log did that: propensity transitions --dimension {audience.name}"
    )
    return Finding(audience.name, "segment_jumped", False, words, action)


def _destinations(outbox: pl.DataFrame, as_of: int) -> list[Finding]:
    found = []
    for row in outbox.filter(pl.col("waiting") > 0).iter_rows(named=True):
        waited = as_of - row["oldest"]
        if waited <= STUCK_AFTER and row["failures"] < STUCK_FAILURES:
            continue
        why = "it is paused" if row["paused"] else f"{row['failures']:,} requests failed since one was taken"
        last = f", the last with {row['error']}" if row["error"] else ""
        words = (
            f"{row['waiting']:,} messages wait for destination {row['destination']}, the oldest since "
            f"{_shown(row['oldest'])}; {why}{last}"
        )
        action = (
            f"see propensity handoff status; mend the receiver, then propensity handoff resume {row['destination']}"
        )
        found.append(Finding(f"destinations.{row['destination']}", "destination_stuck", True, words, action))
    return found
