"""What a training would learn from and judge on, before anything is trained."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from features.definition.sections.learning import Training
from features.definition.sections.outcome import Outcome, ValueOutcome
from features.time import Instants, to_datetime
from training.dataset.split import TEST_USERS, Split, by_users, least_of, split

#: fewer positives to judge on leave wide intervals, and the simplest model that is as good is the likely champion
FEW = 100


@dataclass(frozen=True)
class Slice:
    """A slice of an outcome's rows: how many there are before rows are drawn, and its first and last cutoff."""

    slice: str
    rows: int
    positives: int
    first: str
    last: str


@dataclass(frozen=True)
class Plan:
    """What an outcome's training would do.

    Attributes:
        slices: ``learn``, ``test`` and ``all``.
        words: how it is judged, and what is to be expected of that.
        problem: why it would be refused; None where it would not.
    """

    slices: list[Slice]
    words: str
    problem: str | None


def plan(per: pl.DataFrame, rule: Outcome | ValueOutcome, limits: Training) -> Plan:
    """Split an outcome's cutoffs as a training does; numbers are those before rows are drawn.

    Args:
        per: ``cutoff, eligible, positives`` of each matured cutoff.
        rule: the outcome.
        limits: of the training.
    """
    per = per.sort("cutoff")
    instants = per["cutoff"].dt.epoch("us").to_numpy()
    parts, least = split(instants, rule.reach), least_of(limits.min_positives)
    if parts.by == "time" and any(_few(per, instants, at) < least[name] for name, at in _both(parts)):
        parts = by_users(instants)
    learnt = 1 - (TEST_USERS if parts.by == "users" else limits.unseen_share)
    shares = {"learn": learnt, "test": TEST_USERS if parts.by == "users" else 1.0, "all": 1.0}
    slices = [_slice(per, instants, name, at, shares[name]) for name, at in (*_both(parts), ("all", instants))]
    words = ["later cutoffs judge what is learnt from earlier ones"]
    if parts.by == "users":
        words = ["the log is too short or too small for two periods a label window apart: other users judge"]
    learning, judging = slices[0].positives, slices[1].positives
    if judging < FEW:
        words.append(f"about {judging:,} positives judge: intervals are wide, and a simple model may serve")
    problem = None
    if learning < least["learn"]:
        problem = f"about {learning:,} positives to learn from; training.min_positives is {least['learn']}"
    return Plan(slices, "; ".join(words), problem)


def _both(parts: Split) -> list[tuple[str, Instants]]:
    return [("learn", parts.learn), ("test", parts.test)]


def _few(per: pl.DataFrame, instants: Instants, at: Instants) -> int:
    """How many there are of the rarer answer at some cutoffs."""
    inside = per.filter(pl.Series(np.isin(instants, at)))
    happened = int(inside["positives"].sum())
    return min(happened, int(inside["eligible"].sum()) - happened)


def _slice(per: pl.DataFrame, instants: Instants, name: str, at: Instants, share: float) -> Slice:
    inside = per.filter(pl.Series(np.isin(instants, at)))
    rows, positives = (round(share * int(inside[column].sum())) for column in ("eligible", "positives"))
    first, last = (f"{to_datetime(int(f(at))):%Y-%m-%d}" for f in (np.min, np.max))
    return Slice(name, rows, positives, first, last)
