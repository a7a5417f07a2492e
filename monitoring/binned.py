"""Matured likelihoods in bins of the probability: what was predicted, what came true, and of whom."""

import polars as pl

from serving.published.bins import BINS, STEPS

#: a probability of 0.005, times 200, is 1 less what floats lack
_SLACK = 1e-9


def binned(rows: pl.DataFrame) -> pl.DataFrame:
    """Count the matured predictions of the newest version in each bin of the probability.

    Args:
        rows: of an outcome that is yes or no, `monitoring.matured.Matured.rows`.

    Returns:
        `BINS`; bins without predictions are left out.
    """
    if not len(rows):
        return BINS.to_frame()
    newest = rows.filter(pl.col("version") == rows.sort("at")["version"][-1])
    weight, event = pl.col("weight"), pl.col("label") > 0
    found = newest.with_columns(
        bin=(pl.col("answer") * STEPS + _SLACK).floor().clip(0, STEPS - 1).cast(pl.Int64),
        people=pl.col("user").n_unique().over("population"),
        first=pl.col("at").min(),
        last=pl.col("at").max(),
    ).group_by("version", "population", "bin", "people", "first", "last").agg(
        users=pl.len(), predicted=pl.col("answer").sum(), weight=weight.sum(), squares=(weight**2).sum(),
        expected=(weight * pl.col("answer")).sum(),
        events=event.sum(), event_weight=weight.filter(event).sum(), event_squares=(weight**2).filter(event).sum(),
    )  # fmt: skip
    return found.select(pl.col(name).cast(dtype) for name, dtype in BINS.items()).sort("population", "bin")
