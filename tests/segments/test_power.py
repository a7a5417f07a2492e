"""The smallest effect a holdout can show, held against simulated tests."""

import numpy as np
import pytest

from segments.power import smallest_effect, users_needed


@pytest.mark.parametrize("rise", [False, True])
@pytest.mark.parametrize(
    ("treated", "held_out", "rate"), [(9_500, 500, 0.3), (5_000, 5_000, 0.1), (20_000, 1_000, 0.6)]
)
def test_it_is_seen_as_often_as_asked_for(treated: int, held_out: int, rate: float, *, rise: bool) -> None:
    found = smallest_effect(treated, held_out, rate, rise=rise)
    assert found is not None
    effect = -found if rise else found
    draw = np.random.default_rng(1)
    reported, left = (draw.binomial(n, p, 4_000) / n for n, p in ((treated, rate - effect), (held_out, rate)))
    pooled = (reported * treated + left * held_out) / (treated + held_out)
    z = np.abs(reported - left) / np.sqrt(pooled * (1 - pooled) * (1 / treated + 1 / held_out))
    assert abs((z > 1.959964).mean() - 0.8) < 0.04
    reported = draw.binomial(treated, rate, 4_000) / treated  # no effect at all
    pooled = (reported * treated + left * held_out) / (treated + held_out)
    z = np.abs(reported - left) / np.sqrt(pooled * (1 - pooled) * (1 / treated + 1 / held_out))
    assert abs((z > 1.959964).mean() - 0.05) < 0.015


def test_what_is_needed_shows_just_that() -> None:
    for share, rate, effect in ((0.05, 0.3, 0.1), (0.5, 0.02, 0.2)):
        users = users_needed(share, rate, effect)
        assert users is not None
        assert smallest_effect(users * (1 - share), users * share, rate) == pytest.approx(effect * rate, rel=1e-4)
    assert users_needed(0.0, 0.3, 0.1) is None


def test_a_rare_outcome_in_a_small_tier_shows_nothing() -> None:
    assert smallest_effect(190, 10, 0.01) is None
    assert smallest_effect(0, 10, 0.5) is None
    assert smallest_effect(10, 10, 0.0) is None
