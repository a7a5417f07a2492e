"""Whether the level holds in this season: over the test and the same weeks of the years before. Pure."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from features.snapshot import WEIGHT
from serving.model.numbers import Floats
from training.evaluation.chance import chance

#: a year of whole weeks, so that weekdays agree
YEAR = timedelta(weeks=52)

#: how far from the same day a snapshot of an earlier year may lie
NEAR = timedelta(days=10)


@dataclass(frozen=True, slots=True)
class Season:
    """The level over several years' snapshots of the same weeks.

    Attributes:
        snapshots: cutoffs of earlier years that were looked at.
        ratio: observed over expected of these and of the test together.
        chance: how far from 1 a perfect forecast may be.
    """

    snapshots: int
    ratio: float
    chance: float


def season(
    learn: pl.DataFrame, cross_fitted: Floats, test: pl.DataFrame, answers: Floats, *, relative: bool, seed: int
) -> Season | None:
    """Judge the level over the test and the same weeks of the years before it; None where the log has none.

    The rows of earlier years are answered by models that have not seen their users.

    Args:
        learn: the rows learnt from, with ``user, cutoff, label, weight``.
        cross_fitted: answers of these.
        test: the rows of the test.
        answers: answers of these.
        relative: whether they are amounts.
        seed: of the draws.
    """
    same = _same_weeks(learn["cutoff"], test["cutoff"])
    if not same.any():
        return None
    rows = pl.concat([part.select("user", "cutoff", "label", WEIGHT) for part in (learn.filter(same), test)])
    predicted = np.concatenate([cross_fitted[same.to_numpy()], answers])
    labels, weights = rows["label"].to_numpy().astype(np.float64), rows[WEIGHT].to_numpy()
    owner = rows["user"].rank("dense").to_numpy().astype(np.int64) - 1
    one = np.zeros(len(rows), dtype=np.int64)
    found = chance(predicted, labels, one, owner, weights, relative=relative, seed=seed)
    observed, expected = float(weights @ labels), max(float(weights @ predicted), 1e-12)
    return Season(learn.filter(same)["cutoff"].n_unique(), observed / expected, found.level)


def _same_weeks(learnt: pl.Series, tested: pl.Series) -> pl.Series:
    """Which cutoffs lie in the weeks of the test, whole years before."""
    first, last = tested.min(), tested.max()
    found = pl.lit(False)
    for year in range(1, 10):
        found |= pl.col("at").is_between(pl.lit(first) - year * YEAR - NEAR, pl.lit(last) - year * YEAR + NEAR)
    return learnt.to_frame("at").select(found).to_series()
