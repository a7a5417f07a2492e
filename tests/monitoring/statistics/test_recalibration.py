"""Slope, offset and factor of answers, and Spiegelhalter's Z."""

import numpy as np
import pytest

from monitoring.statistics.probabilities.calibration import logit_line
from monitoring.statistics.probabilities.recalibration import of_amount, of_likelihood, spiegelhalter
from serving.model.numbers import Recalibration


def drawn(seed: int, n: int, *, slope: float = 1.0, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logit = -1 + 1.2 * rng.standard_normal(n)
    y = rng.random(n) < 1 / (1 + np.exp(-(slope * logit + offset)))
    return 1 / (1 + np.exp(-logit)), y.astype(np.float64)


def test_what_was_planted_is_found_and_totals_are_met() -> None:
    p, y = drawn(1, 20_000, slope=0.7, offset=0.4)
    by = of_likelihood(p, y)
    assert by is not None
    assert (by.slope, by.offset) == (pytest.approx(0.7, abs=0.05), pytest.approx(0.4, abs=0.06))
    assert by.apply(p).sum() == pytest.approx(y.sum()), "the offset is free"


def test_few_labels_say_little_of_a_slope() -> None:
    for seed in range(20):
        p, y = drawn(seed, 250)
        by, plain = of_likelihood(p, y), logit_line(p, y)
        assert by is not None
        assert abs(by.slope - 1) < abs(plain.slope - 1)


def test_weights_count_as_many_users_as_they_are_worth() -> None:
    p, y = drawn(2, 500, slope=0.5)
    one, scaled = of_likelihood(p, y), of_likelihood(p, y, w=np.full(500, 20.0))
    assert one is not None
    assert scaled is not None
    assert (one.slope, one.offset) == (pytest.approx(scaled.slope), pytest.approx(scaled.offset))
    rows = np.random.default_rng(1).random(500) < 0.5
    some, weighted = of_likelihood(p[rows], y[rows]), of_likelihood(p, y, w=rows.astype(float))
    assert some is not None
    assert weighted is not None
    assert some.slope == pytest.approx(weighted.slope)


def test_nothing_is_made_of_labels_that_tell_nothing() -> None:
    p, y = drawn(3, 5_000)
    assert of_likelihood(p, np.zeros(5_000)) is None
    assert of_likelihood(p, 1 - y) is None, "the order is turned round"
    assert of_amount(p, np.zeros(5_000)) is None


def test_amounts_meet_their_total() -> None:
    came = np.random.default_rng(1).exponential(3.0, 1_000)
    by = of_amount(np.full(1_000, 2.0), came)
    assert by is not None
    assert by.apply(np.full(1_000, 2.0)).sum() == pytest.approx(came.sum())


def test_two_moves_are_one() -> None:
    p = np.linspace(0.001, 0.999, 500)
    first, second = Recalibration(slope=0.8, offset=0.3), Recalibration(slope=1.3, offset=-0.2)
    assert second.after(first).apply(p) == pytest.approx(second.apply(first.apply(p)), abs=1e-12)
    assert second.after(None) is second
    assert Recalibration(scale=2.0).after(Recalibration(scale=1.5)).scale == 3.0


def test_moved_answers_keep_their_order_even_at_the_ends() -> None:
    p = np.concatenate([[0.0, 1e-18], np.linspace(1e-6, 1 - 1e-6, 1_001), [1.0]])
    moved = Recalibration(slope=1.4, offset=0.9).apply(p)
    assert np.isfinite(moved).all()
    assert (np.diff(moved) >= 0).all()


def test_spiegelhalter_is_standard_normal_where_answers_are_right_and_large_where_not() -> None:
    z = [spiegelhalter(*drawn(seed, 2_000), w=np.ones(2_000)) for seed in range(300)]
    assert np.mean(z) == pytest.approx(0, abs=0.2)
    assert np.std(z) == pytest.approx(1, abs=0.12)
    assert spiegelhalter(*drawn(1, 2_000, slope=0.5), w=np.ones(2_000)) > 4
    assert np.isnan(spiegelhalter(np.full(5, 0.5), np.ones(5), w=np.ones(5)))
