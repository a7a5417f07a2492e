"""Tiers of a likelihood: cut-offs fitted once on the calibration slice, then frozen in the model card."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from features.definition.outcome import CapacityTiers, FixedTiers, LiftTiers, Outcome

Tier = Literal["most_likely", "moderately_likely", "least_likely", "not_enough_to_say"]
TIERS = ("most_likely", "moderately_likely", "least_likely", "not_enough_to_say")
SILENT = TIERS[3]


class TierCuts(BaseModel):
    """Probabilities at and above ``most`` are most likely, at and below ``least`` least likely."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most: float
    least: float
    policy: str


def fit_tiers(
    rule: Outcome, probabilities: NDArray[np.float64], weights: NDArray[np.float64], base_rate: float
) -> TierCuts:
    """Turn an outcome's policy into two probabilities.

    Args:
        rule: what the definition asks for.
        probabilities: calibrated, of the calibration slice.
        weights: how many rows each of them stands for.
        base_rate: share of positives there. By lift, "most likely" never asks for more than half the way from the base
            rate to certainty, so that the tier exists for frequent outcomes too.
    """
    policy = rule.tiers
    if isinstance(policy, LiftTiers):
        most = min(policy.most * base_rate, (1 + base_rate) / 2)
        least = policy.least * base_rate
    elif isinstance(policy, CapacityTiers):
        most, least = quantiles(probabilities, weights, [1 - policy.most, policy.least])
    elif isinstance(policy, FixedTiers):
        most, least = policy.most, policy.least
    else:
        most = min(rule.profit.contact / rule.profit.gain, 1.0) if rule.profit.gain > 0 else 1.0
        least = most / 2
    return TierCuts(most=most, least=min(least, most), policy=policy.by)


def tiers_of(probabilities: NDArray[np.float64], cuts: TierCuts) -> list[str]:
    """The tier of each probability; NaN is ``not_enough_to_say``."""
    codes = np.where(probabilities >= cuts.most, 0, np.where(probabilities <= cuts.least, 2, 1))
    return [TIERS[code] for code in np.where(np.isnan(probabilities), 3, codes)]


def quantiles(values: NDArray[np.float64], weights: NDArray[np.float64], shares: list[float]) -> list[float]:
    """Weighted quantiles: the smallest value with at least each share of the weight at or below it."""
    found = np.quantile(values, shares, weights=weights, method="inverted_cdf")
    return [float(q) for q in found]
