"""RFM groups: recency and frequency scored 1 to 5 by cut-offs that are fitted once and then stay.

Quintiles of today's users would move a user who has done nothing. So the cut-offs are fitted on a named snapshot and
kept; equal values always get equal scores. Groups and score follow CleverTap (R and F make the grid; money is
reported; score = 4R + 2F + M).
"""

from pathlib import Path

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from features.definition.schema import Definition, RfmRule
from features.errors import PropensityError
from features.time import span_name

#: rows R = 1 … 5, columns F = 1 … 5
GRID = (
    ("Hibernating", "Hibernating", "At Risk", "At Risk", "Cannot Lose Them"),
    ("Hibernating", "Hibernating", "At Risk", "At Risk", "Cannot Lose Them"),
    ("About To Sleep", "About To Sleep", "Needs Attention", "Loyal Users", "Loyal Users"),
    ("Promising", "Potential Loyalists", "Potential Loyalists", "Loyal Users", "Loyal Users"),
    ("New Users", "Potential Loyalists", "Potential Loyalists", "Champions", "Champions"),
)
GROUPS = tuple(sorted({name for row in GRID for name in row}))

QUANTILES = (0.2, 0.4, 0.6, 0.8)


class RfmCuts(BaseModel):
    """Cut-offs between the scores, with where they come from.

    Attributes:
        snapshot: the cutoff they were fitted at, or ``definition``.
        recency: days since the signal; a user beyond all four scores 1.
        frequency: active days in the window; a user above all four scores 5.
        money: value in the window; likewise.
        tied_share: the largest share of users that sit on one frequency cut-off.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    snapshot: str
    recency: tuple[float, float, float, float]
    frequency: tuple[float, float, float, float]
    money: tuple[float, float, float, float]
    tied_share: float = 0.0

    def save(self, path: Path) -> None:
        """Keep the cut-offs."""
        path.write_text(self.model_dump_json(indent=2), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "RfmCuts":
        """Read kept cut-offs."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))


def rfm_columns(rule: RfmRule) -> tuple[str, str, str | None]:
    """Name the feature columns of recency, frequency and money."""
    window = span_name(rule.window)
    money = f"{rule.money}_value_{window}" if rule.money else None
    return f"days_since_{rule.signal}", f"{rule.signal}_active_days_{window}", money


def fit_cuts(rows: pl.DataFrame, rule: RfmRule, snapshot: str) -> RfmCuts:
    """Fit cut-offs as quintiles of the users who fired the signal within the window.

    Args:
        rows: feature rows at one cutoff.
        rule: what is measured; cut-offs given there are taken as they are.
        snapshot: the name of that cutoff.

    Raises:
        PropensityError: nobody fired the signal within the window.
    """
    recency, frequency, money = rfm_columns(rule)
    active = rows.filter(pl.col(frequency) > 0)
    if active.is_empty():
        raise PropensityError(
            f"nobody fired {rule.signal!r} within {span_name(rule.window)} of {snapshot}.", fix="widen rfm.window"
        )

    def cuts(name: str | None, given: list[float] | None) -> tuple[float, float, float, float]:
        if given is not None:
            return (given[0], given[1], given[2], given[3])
        if name is None:
            return (0.0, 0.0, 0.0, 0.0)
        a, b, c, d = (float(q) for q in np.quantile(active[name].to_numpy(), QUANTILES, method="higher"))
        return (a, b, c, d)

    fitted = cuts(frequency, rule.frequency_cuts)
    tied = max(float(np.mean(active[frequency].to_numpy() == cut)) for cut in fitted)
    return RfmCuts(
        snapshot=snapshot,
        recency=cuts(recency, rule.recency_cuts),
        frequency=fitted,
        money=cuts(money, rule.money_cuts),
        tied_share=tied,
    )


def rfm_expressions(definition: Definition, cuts: RfmCuts | None) -> list[pl.Expr]:
    """Columns ``rfm_r, rfm_f, rfm_m, rfm_score, rfm_group``; null for users outside the window or without a rule."""
    names = ("rfm_r", "rfm_f", "rfm_m", "rfm_score")
    if definition.rfm is None or cuts is None:
        return [
            *(pl.lit(None, dtype=pl.Int64).alias(n) for n in names),
            pl.lit(None, dtype=pl.String).alias("rfm_group"),
        ]
    recency, frequency, money = rfm_columns(definition.rfm)

    def above(name: str, limits: tuple[float, ...]) -> pl.Expr:
        return pl.sum_horizontal([(pl.col(name) > limit).cast(pl.Int64) for limit in limits])

    active = pl.col(frequency) > 0
    r = 5 - above(recency, cuts.recency)
    f = 1 + above(frequency, cuts.frequency)
    m = 1 + above(money, cuts.money) if money else pl.lit(1, dtype=pl.Int64)
    flat = pl.lit(pl.Series([name for row in GRID for name in row]))
    scores = [pl.when(active).then(e).alias(n) for n, e in zip(names, (r, f, m, 4 * r + 2 * f + m), strict=True)]
    return [*scores, pl.when(active).then(flat.gather((r - 1) * 5 + f - 1)).alias("rfm_group")]
