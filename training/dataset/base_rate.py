"""Words about a question whose answer is nearly always the same."""

import numpy as np
import polars as pl

#: a base rate outside these limits leaves little to tell users apart by
RARE, COMMON = 0.005, 0.95

#: a snapshot of at least so many users counts; a question is one-sided when a larger share of them has one answer
LEAST, WEEKS = 50, 0.25


def one_sided(per: pl.DataFrame) -> str | None:
    """Say that nearly everybody, or nearly nobody, does it; None where both answers are common enough.

    Args:
        per: ``eligible`` and ``base_rate`` of each snapshot.
    """
    large = per if per.is_empty() else per.filter(pl.col("eligible") >= LEAST)
    if large.is_empty():
        return None
    weighted = float(np.average(large["base_rate"].to_numpy(), weights=large["eligible"].to_numpy()))
    for says, others in ((1.0, "no"), (0.0, "yes")):
        weeks = int((large["base_rate"] == says).sum())
        if weeks > WEEKS * len(large):
            return f"in {weeks} of {len(large)} snapshots not one answer is {others}"
    if not RARE <= weighted <= COMMON:
        return f"{weighted:.1%} of the answers are yes"
    return None
