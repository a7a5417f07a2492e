"""The sample-ratio check: quiet by chance, and certain where an arm loses users."""

import math

import numpy as np
import pytest
from scipy.stats import chisquare

from monitoring.statistics.effects.balance import balance


def test_counts_near_the_plan_go_on() -> None:
    found = balance([4_850, 95_150], [0.05, 0.95])
    assert found.chi_square == pytest.approx(4.737, abs=5e-4)
    assert found.p_value == pytest.approx(0.0295, abs=5e-5)
    assert not found.stop
    assert balance([4_850, 95_150], [0.05, 0.95], limit=0.05).stop
    hillstrom = balance([21_387, 21_306], [0.5, 0.5])
    assert (hillstrom.chi_square, hillstrom.p_value) == pytest.approx((0.154, 0.695), abs=5e-4)


def test_three_arms_are_as_scipy_has_them() -> None:
    counts, shares = [300, 290, 410], [0.3, 0.3, 0.4]
    oracle = chisquare(counts, np.array(shares) * 1_000)
    found = balance(counts, shares)
    assert (found.chi_square, found.p_value) == pytest.approx((oracle.statistic, oracle.pvalue))


def test_one_sound_assignment_in_1000_is_stopped_and_a_broken_one_is() -> None:
    draw = np.random.default_rng(1)
    sound = [balance((n, 5_000 - n), (0.1, 0.9)).stop for n in draw.binomial(5_000, 0.1, 20_000)]
    assert abs(np.mean(sound) - 0.001) < 0.0007
    broken = [balance((n, 50_000 - n), (0.1, 0.9)).stop for n in draw.binomial(50_000, 0.092, 1_000)]
    assert np.mean(broken) > 0.98


def test_few_users_never_stop() -> None:
    assert balance([3, 7], [0.05, 0.95]).p_value < 0.001
    assert not balance([3, 7], [0.05, 0.95]).stop, "half a user was expected"
    nobody = balance([0, 0], [0.5, 0.5])
    assert math.isnan(nobody.chi_square)
    assert math.isnan(nobody.p_value)
    assert not nobody.stop


@pytest.mark.parametrize(
    ("counts", "shares", "message"),
    [
        ([1, 2, 3], [0.5, 0.5], "there are 3 counts"),
        ([1, -2], [0.5, 0.5], "counts hold -2"),
        ([1, 2], [0.5, 0.4], "add up to 1"),
        ([1, 2], [1.0, 0.0], "above 0"),
        ([1], [1.0], "the plan has 1 arms"),
        ([1, math.nan], [0.5, 0.5], "NaN"),
    ],
)
def test_what_is_no_plan_is_refused(counts, shares, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        balance(counts, shares)
