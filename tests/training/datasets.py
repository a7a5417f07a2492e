"""Small data sets of an outcome, made up."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from features.definition import Definition
from features.definition.columns import feature_set
from training.dataset.dataset import Dataset

START = datetime(2025, 3, 1, tzinfo=UTC)


PERIODS = {"learn": range(7), "test": [12, 13]}


def dataset(definition: Definition, **columns: object) -> Dataset:
    """Rows of 400 users a cutoff whose label depends on one feature, a little; columns may be replaced."""
    rng = np.random.default_rng(3)
    parts = []
    for name, weeks in PERIODS.items():
        for week in weeks:
            users = np.arange(400)
            true = rng.normal(size=400)
            label = (rng.random(400) < 1 / (1 + np.exp(1 - true))).astype(np.int8)
            frame = {f: rng.normal(size=400) for f in feature_set(definition).numeric}
            frame |= {"tenure_days": true}
            for column, make in columns.items():
                frame[column] = make(rng, label, name)  # type: ignore[operator]
            parts.append(
                pl.DataFrame({"user": [f"u{u}" for u in users], **frame, "label": label}).with_columns(
                    cutoff=pl.lit(START + timedelta(weeks=week)).cast(pl.Datetime("us", "UTC")), slice=pl.lit(name),
                    weight=pl.lit(1.0), unseen=pl.lit(False),
                )
            )  # fmt: skip
    return Dataset("churn", pl.concat(parts), pl.DataFrame())
