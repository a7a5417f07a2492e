"""Learning an amount: the scale of the money does not matter, and totals are met where they were adjusted."""

import numpy as np
import pytest

from training.fitting.objective import Amount

RNG = np.random.default_rng(1)
N = 6_000
X = RNG.normal(size=(N, 4))
TRUE = np.array([0.6, -0.4, 0.0, 0.0])


def orders(seed: int = 2) -> np.ndarray:
    """Sums of none, one or some orders whose mean depends on two of four columns."""
    rng = np.random.default_rng(seed)
    count = rng.poisson(0.5 * np.exp(X @ TRUE))
    return np.array([rng.gamma(2.0, 10.0, k).sum() for k in count])


def test_the_regression_finds_what_moves_amounts() -> None:
    weights, intercept = Amount().regression(X, orders(), np.ones(N))
    assert weights == pytest.approx(TRUE, abs=0.1)
    assert np.exp(intercept) == pytest.approx(10.0, rel=0.1)


def test_cents_are_a_hundred_times_as_many() -> None:
    y, ones = orders(), np.ones(N)
    of_euros, of_cents = (Amount().regression(X, scale * y, ones) for scale in (1, 100))
    assert of_euros[0] == pytest.approx(of_cents[0], abs=1e-3)
    assert of_cents[1] - of_euros[1] == pytest.approx(np.log(100), abs=1e-3)


def test_calibrated_amounts_meet_the_total_and_undo_what_was_too_bold() -> None:
    y, score = orders(), 2.0 * (X @ TRUE) + 5.0
    weights = RNG.integers(1, 4, N).astype(float)
    found = Amount().calibrate(y, score, weights, np.zeros(N))
    assert found.method == "log_linear"
    assert found.slope == pytest.approx(0.5, abs=0.05)
    assert weights @ found.apply(score) == pytest.approx(weights @ y, rel=1e-3)


def test_no_amount_is_beyond_what_was_seen() -> None:
    y = orders()
    found = Amount().calibrate(y, X @ TRUE, np.ones(N), np.zeros(N))
    assert found.apply(np.array([50.0, 1e6])).tolist() == pytest.approx([y.max()] * 2)
    assert found.apply(np.array([-1e3]))[0] >= 0


def test_the_loss_is_least_at_the_truth() -> None:
    y, truth, ones = orders(), X @ TRUE + np.log(10.0), np.ones(N)
    losses = [Amount().loss(y, truth + shift, ones) for shift in (-0.3, 0.0, 0.3)]
    assert min(losses) == losses[1]
