"""RFM groups: recency and frequency scored 1 to 5 by cut-offs that are fitted once and then stay.

Quintiles of today's users would move a user who has done nothing. So the cut-offs are fitted on a named snapshot and
kept; equal values always get equal scores. Groups and score follow CleverTap (R and F make the grid; money is
reported; score = 4R + 2F + M).
"""

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from features.definition.columns import occasions
from features.definition.names import RFM_GROUPS
from features.definition.sections.rfm import RfmRule
from features.errors import PropensityError, StoreError
from features.expressions.values import Numbers, Texts, Value
from features.system.files.durable import write_durably
from features.system.files.kept_files import sealed, unsealed
from features.time import span_name

#: rows R = 1 … 5, columns F = 1 … 5
GRID = (
    ("Hibernating", "Hibernating", "At Risk", "At Risk", "Cannot Lose Them"),
    ("Hibernating", "Hibernating", "At Risk", "At Risk", "Cannot Lose Them"),
    ("About To Sleep", "About To Sleep", "Needs Attention", "Loyal Users", "Loyal Users"),
    ("Promising", "Potential Loyalists", "Potential Loyalists", "Loyal Users", "Loyal Users"),
    ("New Users", "Potential Loyalists", "Potential Loyalists", "Champions", "Champions"),
)
GROUPS = RFM_GROUPS

QUANTILES = (0.2, 0.4, 0.6, 0.8)
SCORES = ("rfm_r", "rfm_f", "rfm_m", "rfm_score")


class NobodyError(PropensityError):
    """There is nobody to fit cut-offs on."""

    code = "rfm_nobody"


#: from this share on, users of one frequency are reported
TIED = 0.3


class RfmCuts(BaseModel):
    """Cut-offs between the scores, with where they come from.

    Attributes:
        snapshot: the cutoff they were fitted at, or ``definition``.
        recency: days since the signal; a user beyond all four scores 1.
        frequency: days with the signal in the window; a user above all four scores 5.
        money: value in the window; likewise.
        tied_share: the largest share of users that sit on one frequency cut-off.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    snapshot: str
    recency: tuple[float, float, float, float]
    frequency: tuple[float, float, float, float]
    money: tuple[float, float, float, float]
    tied_share: float = 0.0

    @cached_property
    def arrays(self) -> tuple[Numbers, Numbers, Numbers]:
        """The cut-offs of recency, frequency and money as arrays."""
        recency, frequency, money = (np.array(cuts) for cuts in (self.recency, self.frequency, self.money))
        return recency, frequency, money

    @property
    def tie(self) -> str:
        """That many users share one frequency score, in a sentence; empty where few do."""
        return tie(self.tied_share)

    def save(self, path: Path) -> None:
        """Keep the cut-offs."""
        write_durably(path, sealed(self.model_dump_json(indent=2)))

    @classmethod
    def load(cls, path: Path) -> "RfmCuts":
        """Read kept cut-offs.

        Raises:
            StoreError: the file is damaged.
        """
        try:
            return cls.model_validate_json(unsealed(path.read_bytes()))
        except ValueError as error:
            raise StoreError(
                f"the cut-offs of the RFM groups in {path} are damaged.",
                fix="restore it from a backup, or remove it: new cut-offs are then fitted, and users may change groups",
            ) from error


def tie(share: float) -> str:
    """A sentence about users who are tied in frequency; empty where they are few.

    Args:
        share: of the users whom RFM scores, those that sit on one frequency cut-off.
    """
    if share < TIED:
        return ""
    return (
        f"RFM: {share:.0%} of the users it scores were active on equally many days: they share one frequency score, "
        "and only recency tells their groups apart."
    )


def rfm_columns(rule: RfmRule, names: Collection[str]) -> tuple[str, str, str | None]:
    """Name the feature columns of recency, frequency and money.

    Args:
        rule: what is measured.
        names: the columns there are: of a signal with refunds, orders that stand are measured.
    """
    window, often = span_name(rule.window), occasions(rule.signal, names)
    money = f"{rule.money}_value_{window}" if rule.money else None
    return often.last, f"{often.days_in}_{window}", money


def fit_cuts(rows: pl.DataFrame, rule: RfmRule, snapshot: str) -> RfmCuts:
    """Fit cut-offs as quintiles of the users who fired the signal within the window.

    Args:
        rows: feature rows at one cutoff.
        rule: what is measured; cut-offs given there are taken as they are.
        snapshot: the name of that cutoff.

    Raises:
        NobodyError: nobody fired the signal within the window.
    """
    recency, frequency, money = rfm_columns(rule, rows.columns)
    active = rows.filter(pl.col(frequency) > 0)
    if active.is_empty():
        raise NobodyError(
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


def with_rfm(rows: pl.DataFrame, rule: RfmRule | None, cuts: RfmCuts | None) -> pl.DataFrame:
    """Add ``rfm_r, rfm_f, rfm_m, rfm_score, rfm_group``; null outside the window, and without rule or cut-offs.

    Args:
        rows: feature rows; the columns of `rfm_columns` are read.
        rule: what is measured.
        cuts: the frozen cut-offs; a value on a cut-off is not above it.
    """
    measured = {name: rows[name].to_numpy() for name in rfm_columns(rule, rows.columns) if name} if rule else {}
    scores, groups = rfm_of(measured, rule, cuts, len(rows))
    numbers = [pl.Series(name, score, nan_to_null=True).cast(pl.Int64) for name, score in scores.items()]
    return rows.hstack([*numbers, groups.to_series().alias("rfm_group")])


def rfm_of(
    columns: Mapping[str, Value], rule: RfmRule | None, cuts: RfmCuts | None, count: int
) -> tuple[dict[str, Numbers], Texts]:
    """The scores, by name, and the groups; nothing outside the window, and without rule or cut-offs.

    Args:
        columns: those of `rfm_columns`, of feature rows.
        rule: what is measured.
        cuts: the frozen cut-offs.
        count: how many rows there are.
    """
    if rule is None or cuts is None:
        return dict.fromkeys(SCORES, np.full(count, np.nan)), Texts(np.full(count, -1), ())
    names = rfm_columns(rule, columns)
    days, often, money = (np.zeros(count) if name is None else np.asarray(columns[name]) for name in names)
    recency, frequency, value = cuts.arrays
    r = 5 - recency.searchsorted(days)  # counts the cut-offs below the value
    f = 1 + frequency.searchsorted(often)
    m = 1 + value.searchsorted(money)
    active = often > 0  # of whom nothing is known, not
    scores = zip(SCORES, (r, f, m, 4 * r + 2 * f + m), strict=True)
    groups = Texts(np.where(active, 5 * (r - 1) + f - 1, -1), _CELLS)
    return {name: np.where(active, score, np.nan) for name, score in scores}, groups


#: the groups of the grid, row by row
_CELLS = tuple(group for row in GRID for group in row)
