"""A proposal to recalibrate: fitted on matured untreated labels, and judged on users that were not used in the fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from features.definition.sections.outcome import Outcome, ValueOutcome
from features.errors import RefusalError
from features.events.draws import evenly, salt
from monitoring.realised import alarms_of, level_of, line_of
from monitoring.statistics.inputs import Floats, two_sided
from monitoring.statistics.probabilities.calibration import Level
from monitoring.statistics.probabilities.estimated import effective_size
from monitoring.statistics.probabilities.recalibration import of_amount, of_likelihood
from serving.model.card import Measure
from serving.model.numbers import Recalibration
from training.evaluation.gate import Criterion, in_words, named
from training.evaluation.judgement import Judgement, judge
from training.evaluation.protocol import protocol_of

#: fewer untreated users, as effective ones, or fewer events or non-events say too little
LEAST_USERS: Final = 200
LEAST_EVENTS: Final = 30

#: folds over users: each is moved by what the others have shown
FOLDS: Final = 5

#: the metrics that a move of the answers changes; the others are of their order
OF_LEVEL: Final = ("log_loss", "brier", "calibration_error", "observed_over_expected", "deviance",
                   "mean_absolute_error")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proposal:
    """How a champion's answers would be moved, and what the gate says of it.

    Attributes:
        by: fitted on all untreated users.
        users, effective, events: how many untreated users there are, what they are worth, to how many it happened.
        criteria: what the moved answers have to show on users not used in the fit.
        metrics: of the moved answers there.
        before, after: observed over expected as it is, and on users not used in the fit.
    """

    by: Recalibration
    users: int
    effective: float
    events: int
    criteria: Sequence[Criterion]
    metrics: Mapping[str, Measure]
    before: Level
    after: Level


def propose(
    rows: pl.DataFrame, outcome: str, rule: Outcome | ValueOutcome, version: str, *, seed: int, draws: int
) -> Proposal:
    """Fit a recalibration of a version, and judge it.

    Args:
        rows: all that has matured of the outcome, as `monitoring.matured.kept` reads it.
        outcome: its name.
        rule: the outcome.
        version: whose answers are moved.
        seed: of the resampling.
        draws: how many resamples of the users.

    Raises:
        RefusalError: ``too_few_matured``, or ``ranking_reversed``.
    """
    untreated = rows.filter(pl.col("weight") > 0).sort("at", "user")
    mine, earlier = (untreated.filter(of) for of in (pl.col("version") == version, pl.col("version") != version))
    yes_or_no = isinstance(rule, Outcome)
    effective, events = _enough(mine, outcome, version, yes_or_no)
    by, moved = _fitted(mine, outcome, yes_or_no), _cross_fitted(mine, outcome, yes_or_no)
    before, after = level_of(mine, yes_or_no), level_of(moved, yes_or_no)
    found = bool(alarms_of(mine, earlier, yes_or_no)[0]) if yes_or_no else not before.low <= 1 <= before.high
    labels, protocol = mine["label"].to_numpy(), protocol_of(rule)
    scores = {"model": moved["answer"].to_numpy(), "champion": mine["answer"].to_numpy()}
    judgement = judge(
        scores, labels, mine["user"], mine["weight"].to_numpy(), seed=seed, draws=draws, rank=protocol.rank(labels)
    )
    criteria = [
        _loss(judgement, protocol.loss, version, found=found),
        _level(after),
        *([_slope(moved)] if yes_or_no else []),
        _order(mine["answer"].to_numpy(), by),
    ]
    metrics = {name: judgement.measure("model", name) for name in judgement.metrics if name in OF_LEVEL}
    return Proposal(by, len(mine), effective, events, criteria, metrics, before, after)


def _enough(rows: pl.DataFrame, outcome: str, version: str, yes_or_no: bool) -> tuple[float, int]:
    """How many users the rows are worth, and how many events they hold.

    Raises:
        RefusalError: ``too_few_matured``.
    """
    effective = effective_size(rows["weight"].to_numpy())
    events = int((rows["label"] > 0).sum())
    others = len(rows) - events if yes_or_no else LEAST_EVENTS
    if effective < LEAST_USERS or min(events, others) < LEAST_EVENTS:
        counted = f", {others:,} without one" if yes_or_no else ""
        raise RefusalError(
            "too_few_matured",
            found=f"{effective:,.0f} effective untreated users with matured predictions of {version}, {events:,} with "
            f"an event{counted}",
            needed=f"{LEAST_USERS} effective users and {LEAST_EVENTS} of each answer",
            fix="run propensity monitor after each batch and wait until more predictions have matured, or train again: "
            f"propensity train --outcome {outcome}",
        )
    return effective, events


def _fitted(rows: pl.DataFrame, outcome: str, yes_or_no: bool) -> Recalibration:
    """Fit on rows.

    Raises:
        RefusalError: ``ranking_reversed``.
    """
    p, y, w = (rows[name].to_numpy() for name in ("answer", "label", "weight"))
    by = of_likelihood(p, y, w=w) if yes_or_no else of_amount(p, y, w=w)
    if by is None:
        raise RefusalError(
            "ranking_reversed",
            found="labels that do not rise with the answers",
            needed="a calibration slope above 0",
            fix=f"train again: propensity train --outcome {outcome}",
        )
    return by


def _cross_fitted(rows: pl.DataFrame, outcome: str, yes_or_no: bool) -> pl.DataFrame:
    """The rows with answers moved by what users of the other folds have shown; all rows of a user are in one fold."""
    users = rows["user"].to_list()
    fold = (evenly(users, np.repeat(salt([f"recalibration\x00{outcome}"]), len(users))) * FOLDS).astype(np.int64)
    answers = rows["answer"].to_numpy().copy()
    for number in range(FOLDS):
        inside = fold == number
        if inside.any():
            by = _fitted(rows.filter(pl.Series(~inside)), outcome, yes_or_no)
            answers[inside] = by.apply(answers[inside])
    return rows.with_columns(pl.Series("answer", answers))


def _loss(judgement: Judgement, metric: str, version: str, *, found: bool) -> Criterion:
    """Better; or as good where a finding is open, which the other criteria ask to be resolved."""
    more = judgement.ahead("model", "champion", metric, relative=True)
    words = f"{in_words(more)} against {version}, on users not used in the fit"
    if more.low is None or more.high is None:
        return Criterion(named(metric), "an interval", words, False)
    if not found:
        needed = "below the champion's with an interval that does not reach above 0: no finding is open"
        return Criterion(named(metric), needed, words, more.high <= 0)
    needed = "not above the champion's with an interval that excludes 0: a finding is open, and has to be resolved"
    return Criterion(named(metric), needed, words, more.low <= 0)


def _level(after: Level) -> Criterion:
    words = f"{after.ratio:.3f} ({after.low:.3f} to {after.high:.3f}) on users not used in the fit"
    return Criterion("observed over expected", "an interval that holds 1", words, after.low <= 1 <= after.high)


def _slope(moved: pl.DataFrame) -> Criterion:
    line = line_of(moved)
    reach = two_sided(0.95) * line.slope_error
    low, high = line.slope - reach, line.slope + reach
    words = f"{line.slope:.3f} ({low:.3f} to {high:.3f}) on users not used in the fit"
    return Criterion("calibration slope", "an interval that holds 1", words, bool(low <= 1 <= high))


def _order(answers: Floats, by: Recalibration) -> Criterion:
    """No user comes before another one who was before them."""
    moved = by.apply(answers)[np.argsort(answers, kind="stable")]
    changed = int((np.diff(moved) < 0).sum())
    found = "the same" if not changed else f"{changed:,} neighbours have changed places"
    return Criterion("order of users", "the same as the champion's", found, changed == 0)
