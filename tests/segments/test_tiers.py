"""Tiers: four policies, frozen as two probabilities."""

import numpy as np
import pytest

from features.definition.sections.outcome import Outcome
from segments.tiers import TierCuts, fit_tiers, tiers_of

P = np.linspace(0.001, 1.0, 1_000)


def rule(tiers: dict[str, object], profit: dict[str, float] | None = None) -> Outcome:
    content = {"will": "purchase", "within": "7d", "among": "tenure_days > 0", "tiers": tiers, "profit": profit or {}}
    return Outcome.model_validate(content)


@pytest.mark.parametrize(
    ("content", "base", "most", "least"),
    [
        ({"by": "lift"}, 0.1, 0.2, 0.05),
        ({"by": "lift", "most": 3, "least": 0.2}, 0.1, 0.3, 0.02),
        ({"by": "lift"}, 0.6, 0.8, 0.3),
        ({"by": "capacity", "most": 0.1, "least": 0.5}, 0.5, 0.9001, 0.5005),
        ({"by": "fixed", "most": 0.7, "least": 0.2}, 0.5, 0.7, 0.2),
    ],
)
def test_a_policy_becomes_two_probabilities(content: dict[str, object], base: float, most: float, least: float) -> None:
    cuts = fit_tiers(rule(content), P, np.ones(1_000), base)
    assert cuts.most == pytest.approx(most, abs=2e-3)
    assert cuts.least == pytest.approx(least, abs=2e-3)
    assert cuts.policy == content["by"]


@pytest.mark.parametrize(("accept", "most"), [(0.2, 0.2), (0.1, 1.0)])
def test_by_profit_contact_pays_from_where_it_earns_its_cost(accept: float, most: float) -> None:
    paid = rule({"by": "profit"}, {"contact": 1, "accept": accept, "value": 50, "incentive": 5})
    cuts = fit_tiers(paid, P, np.ones(1_000), 0.1)
    assert (cuts.most, cuts.least) == pytest.approx((most, most / 2))


def test_a_row_that_stands_for_many_counts_for_many() -> None:
    heavy = np.where(P > 0.5, 9.0, 1.0)
    cuts = fit_tiers(rule({"by": "capacity", "most": 0.5, "least": 0.1}), P, heavy, 0.1)
    assert cuts.least == pytest.approx(0.5, abs=2e-3)
    assert cuts.most == pytest.approx(0.722, abs=2e-3)


def test_cut_offs_belong_to_the_outer_tiers_and_silence_is_a_tier() -> None:
    cuts = TierCuts(most=0.5, least=0.2, policy="fixed")
    assert tiers_of(np.array([0.5, 0.4999, 0.2001, 0.2, 0.0, 1.0, np.nan]), cuts) == [
        "most_likely", "moderately_likely", "moderately_likely", "least_likely", "least_likely", "most_likely",
        "not_enough_to_say",
    ]  # fmt: skip


def test_there_is_always_a_most_likely_tier_by_lift() -> None:
    for base in (0.01, 0.4, 0.5, 0.7, 0.99):
        assert fit_tiers(rule({"by": "lift"}), P, np.ones(1_000), base).most < 1
