"""Tiers: four policies, frozen as two probabilities."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from features.definition import TierPolicy
from segments.tiers import TierCuts, fit_tiers, tiers_of

P = np.linspace(0.001, 1.0, 1_000)


def policy(**content: object) -> TierPolicy:
    parsed: TierPolicy = TypeAdapter(TierPolicy).validate_python(content)
    return parsed


@pytest.mark.parametrize(
    ("content", "base", "most", "least"),
    [
        ({"by": "lift"}, 0.1, 0.2, 0.05),
        ({"by": "lift", "most": 3, "least": 0.2}, 0.1, 0.3, 0.02),
        ({"by": "lift"}, 0.6, 0.8, 0.3),
        ({"by": "capacity", "most": 0.1, "least": 0.5}, 0.5, 0.9001, 0.5005),
        ({"by": "fixed", "most": 0.7, "least": 0.2}, 0.5, 0.7, 0.2),
        ({"by": "profit", "contact": 1, "accept": 0.2, "value": 50, "incentive": 5}, 0.1, 0.2, 0.1),
        ({"by": "profit", "contact": 1, "accept": 0.1, "value": 50, "incentive": 5}, 0.1, 1.0, 0.5),
    ],
)
def test_a_policy_becomes_two_probabilities(content: dict[str, object], base: float, most: float, least: float) -> None:
    cuts = fit_tiers(policy(**content), P, base)
    assert cuts.most == pytest.approx(most)
    assert cuts.least == pytest.approx(least)
    assert cuts.policy == content["by"]


def test_cut_offs_belong_to_the_outer_tiers_and_silence_is_a_tier() -> None:
    cuts = TierCuts(most=0.5, least=0.2, policy="fixed")
    assert tiers_of(np.array([0.5, 0.4999, 0.2001, 0.2, 0.0, 1.0, np.nan]), cuts) == [
        "most_likely", "moderately_likely", "moderately_likely", "least_likely", "least_likely", "most_likely",
        "not_enough_to_say",
    ]  # fmt: skip


def test_there_is_always_a_most_likely_tier_by_lift() -> None:
    for base in (0.01, 0.4, 0.5, 0.7, 0.99):
        assert fit_tiers(policy(by="lift"), P, base).most < 1
