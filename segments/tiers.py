"""Tiers of a likelihood: cut-offs fitted once on the calibration slice, then frozen in the model card."""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from features.definition.names import TIERS as TIERS
from features.definition.names import UPLIFT_TIERS as UPLIFT_TIERS
from features.definition.names import VALUE_TIERS as VALUE_TIERS
from features.definition.sections.outcome import CapacityTiers, FixedTiers, LiftTiers, Outcome, ValueOutcome

Tier = Literal["most_likely", "moderately_likely", "least_likely", "not_enough_to_say"]
ValueTier = Literal["high", "medium", "low", "not_enough_to_say"]
UpliftTier = Literal["persuadable", "sure_thing", "lost_cause", "do_not_disturb", "unsure", "not_enough_to_say"]
SILENT: Final = "not_enough_to_say"


class TierCuts(BaseModel):
    """Answers at and above ``most`` are in the upper tier, at and below ``least`` in the lower one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most: float
    least: float
    policy: str


def fit_tiers(
    rule: Outcome | ValueOutcome, answers: NDArray[np.float64], weights: NDArray[np.float64], base_rate: float
) -> TierCuts:
    """Turn an outcome's policy into two probabilities or amounts.

    Args:
        rule: what the definition asks for.
        answers: calibrated, of the calibration slice.
        weights: how many rows each of them stands for.
        base_rate: share of positives there. By lift, "most likely" never asks for more than half the way from the base
            rate to certainty, so that the tier exists for frequent outcomes too.
    """
    if isinstance(rule, ValueOutcome):
        most, least = quantiles(answers, weights, [1 - rule.tiers.high, rule.tiers.low])
        return TierCuts(most=most, least=min(least, most), policy="capacity")
    policy = rule.tiers
    if isinstance(policy, LiftTiers):
        most = min(policy.most * base_rate, (1 + base_rate) / 2)
        least = policy.least * base_rate
    elif isinstance(policy, CapacityTiers):
        most, least = quantiles(answers, weights, [1 - policy.most, policy.least])
    elif isinstance(policy, FixedTiers):
        most, least = policy.most, policy.least
    else:
        most = min(rule.profit.contact / rule.profit.gain, 1.0) if rule.profit.gain > 0 else 1.0
        least = most / 2
    return TierCuts(most=most, least=min(least, most), policy=policy.by)


def tiers_of(answers: NDArray[np.float64], cuts: TierCuts, names: tuple[str, ...] = TIERS) -> list[str]:
    """The tier of each answer; NaN is ``not_enough_to_say``."""
    return [names[code] for code in tier_codes(answers, cuts).tolist()]


def tier_codes(answers: NDArray[np.float64], cuts: TierCuts) -> NDArray[np.int64]:
    """The tier of each answer by its place among the names."""
    codes = np.where(answers >= cuts.most, 0, np.where(answers <= cuts.least, 2, 1))
    return np.where(np.isnan(answers), 3, codes)


def quantiles(values: NDArray[np.float64], weights: NDArray[np.float64], shares: list[float]) -> list[float]:
    """Weighted quantiles: the smallest value with at least each share of the weight at or below it."""
    found = np.quantile(values, shares, weights=weights, method="inverted_cdf")
    return [float(q) for q in found]
