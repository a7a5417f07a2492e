"""Reliability: what a model says beside what happens, in ten bins of equal size."""

import numpy as np
import polars as pl

from serving.model.numbers import Floats
from training.evaluation.metrics import BINS, Ranking


def reliability(answers: Floats, labels: Floats, weights: Floats) -> pl.DataFrame:
    """Predicted against observed rate or mean in ten bins of equal size, the lowest first.

    Args:
        answers: of the model, ``[rows]``.
        labels: what happened.
        weights: what each row counts.

    Returns:
        ``predicted, observed, low, high, rows, share``: means by weight, a 95 % interval of the observed one, how many
        rows are in the bin, and the share of all weights; a bin without rows is left out.
    """
    bins = Ranking.of(answers).bin
    mass = np.bincount(bins, weights, minlength=BINS)
    kept = mass > 0
    rows = np.bincount(bins, minlength=BINS)[kept]
    predicted = np.bincount(bins, weights * answers, minlength=BINS)[kept] / mass[kept]
    observed = np.bincount(bins, weights * labels, minlength=BINS)[kept] / mass[kept]
    spread = np.bincount(bins, weights * labels**2, minlength=BINS)[kept] / mass[kept] - observed**2
    error = 1.96 * np.sqrt(np.maximum(spread, 1e-9) / rows)
    return pl.DataFrame(
        {"predicted": predicted, "observed": observed, "low": np.maximum(observed - error, 0),
         "high": observed + error, "rows": rows, "share": mass[kept] / mass.sum()}
    )  # fmt: skip
