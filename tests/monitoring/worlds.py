"""A year of batches of somebody's answers, right or wrong in ways that are known."""

import numpy as np
import polars as pl

from features.time import DAY
from segments.tiers import TIERS

WEEK = 7 * DAY


def year(
    seed: int,
    *,
    users: int = 1_000,
    batches: int = 52,
    level: float = 0.0,
    slope: float = 1.0,
    people: float = 0.0,
    version: str = "churn/2",
) -> pl.DataFrame:
    """Batches of users who are left alone, each of whom is asked about once.

    Args:
        seed: of the draws.
        users: in each batch.
        batches: a week apart.
        level: what is added to the logits of what happens.
        slope: of the logits of what happens over those of what was predictions.
        people: what is added to the logits of both: other people, and right answers.
        version: of the model.
    """
    rng = np.random.default_rng(seed)
    predictions = -1.0 + people + 1.3 * rng.standard_normal((batches, users))
    middle = -1.0 + people
    truth = 1 / (1 + np.exp(-(middle + slope * (predictions - middle) + level)))
    p, y = 1 / (1 + np.exp(-predictions)), rng.random((batches, users)) < truth
    at = np.repeat(np.arange(batches) * WEEK, users)
    return pl.DataFrame(
        {"user": [f"u{i}" for i in range(batches * users)], "at": at, "version": version, "answer": p.ravel(),
         "tier": TIERS[1], "state": "active", "label": y.ravel().astype(np.float64), "tenure_days": 40.0,
         "population": "left alone", "weight": 1.0},
    )  # fmt: skip
