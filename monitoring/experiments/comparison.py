"""Comparisons: one variant beside those who were sent nothing, on one outcome."""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.definition.sections.outcome import Outcome, ValueOutcome
from monitoring.statistics.effects.arm import PairedArm
from monitoring.statistics.effects.boundaries import always_valid, always_valid_p
from monitoring.statistics.effects.effect import Adjusted, Difference, Estimate, adjusted, difference, reached
from segments.power import smallest_effect

#: columns of the rows of an arm
PREDICTED, LABEL, REACHED = "p", "label", "reached"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A variant beside ``nothing``, by assignment (intention to treat).

    Attributes:
        users: of the variant and of nothing, whose outcome is known.
        means: of the variant and of nothing; NaN of an empty arm.
        plain: the difference of the means; None where an arm has fewer than two users.
        adjusted: the same, adjusted by what was predicted at the assignment; None where nothing was.
        reached: the effect on users who were reached because they were assigned; None where it is the same.
        reached_share: of the variant's users, who were reached.
        smallest: the smallest wanted change of the rate that so many users show in one look with 80 %; None where
            unknown.
    """

    users: tuple[int, int]
    means: tuple[float, float]
    plain: Difference | None
    adjusted: Adjusted | None
    reached: Estimate | None
    reached_share: float
    smallest: float | None

    @property
    def best(self) -> Difference | None:
        """The adjusted difference, or the plain one."""
        return self.adjusted.difference if self.adjusted is not None else self.plain

    @property
    def z(self) -> float:
        """The effect in standard errors; NaN where there is none."""
        found = self.best.effect if self.best is not None else None
        return found.value / found.error if found is not None and found.error > 0 else math.nan

    def within(self, errors: float) -> tuple[float, float] | None:
        """The interval of so many standard errors to each side."""
        if self.best is None:
            return None
        effect = self.best.effect
        return effect.value - errors * effect.error, effect.value + errors * effect.error

    def at_any_time(self, alpha: float) -> tuple[float, float] | None:
        """An interval that may be looked at at any time."""
        return self.within(always_valid(sum(self.users), alpha=alpha)) if self.best is not None else None

    def p_value(self, *, at_any_time: bool) -> float:
        """Of no effect, in one planned look or at any time; NaN where there is none."""
        if self.best is None or math.isnan(self.z):
            return math.nan
        return always_valid_p(self.z, sum(self.users)) if at_any_time else self.best.p_value


def compare(
    variant: pl.DataFrame, nothing: pl.DataFrame, rule: Outcome | ValueOutcome, *, rise: bool = False
) -> Comparison:
    """Compare two arms.

    Args:
        variant: of each user ``label``, ``p`` (null where nothing was predicted) and ``reached``.
        nothing: the same of users who were sent nothing.
        rule: the outcome.
        rise: whether more of it is wanted.
    """
    arms = (variant, nothing)
    sizes, means = (len(variant), len(nothing)), (_mean(variant), _mean(nothing))
    share = float(variant[REACHED].mean() or 0.0) if len(variant) else 0.0  # type: ignore[arg-type]
    plain = better = on_reached = None
    if min(sizes) >= 2:
        plain, better = _differences(arms)
        if 0 < share < 1:
            on_reached = reached(*(PairedArm.reached(arm[LABEL], arm[REACHED].cast(pl.Float64)) for arm in arms))
    rate = means[1] if isinstance(rule, Outcome) else math.nan
    smallest = smallest_effect(sizes[0], sizes[1], rate, rise=rise) if not math.isnan(rate) else None
    return Comparison(sizes, means, plain, better, on_reached, share, smallest)


def _differences(arms: tuple[pl.DataFrame, pl.DataFrame]) -> tuple[Difference, Adjusted | None]:
    """The plain difference and the adjusted one; who had no prediction counts as the mean."""
    middle = pl.concat([arm[PREDICTED] for arm in arms]).mean()
    filled = middle if isinstance(middle, float) and math.isfinite(middle) else None
    other = [arm[PREDICTED].fill_null(filled).to_numpy() if filled is not None else np.zeros(len(arm)) for arm in arms]
    treated, control = (PairedArm.of(arm[LABEL].to_numpy(), x) for arm, x in zip(arms, other, strict=True))
    plain = difference(treated.plain, control.plain)
    return plain, adjusted(treated, control) if filled is not None else None


def _mean(arm: pl.DataFrame) -> float:
    found = arm[LABEL].mean()
    return found if isinstance(found, float) else math.nan
