"""Amounts are measured as loops and published definitions have it."""

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from training.evaluation.judgement import judge
from training.evaluation.value_metrics import AmountRanking

Floats = np.ndarray


def measured(answer: Floats, came: Floats, weights: Floats | None = None) -> dict[str, float]:
    weights = np.ones(len(came)) if weights is None else weights
    ranking = AmountRanking.of(answer, np.argsort(-came, kind="stable"))
    return dict(zip(AmountRanking.METRICS, ranking.measure(came, weights).tolist(), strict=True))


def pairs_gini(order_by: Floats, came: Floats) -> float:
    """The Gini coefficient from pairs: the covariance of amounts with their rank, ties halved."""
    n, area = len(came), 0.0
    for i in range(n):
        above = np.sum(order_by > order_by[i]) + 0.5 * np.sum(order_by == order_by[i])
        area += came[i] * (1 - above / n)
    return area / came.sum() - 0.5


AMOUNTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 20)), min_size=3, max_size=40)


@given(AMOUNTS)
def test_the_gini_is_that_of_pairs(rows: list[tuple[int, int]]) -> None:
    answer, came = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assume(AmountRanking.can_tell(came, np.ones(len(came))))
    assert measured(answer, came)["normalised_gini"] == pytest.approx(pairs_gini(answer, came) / pairs_gini(came, came))


@given(AMOUNTS, st.integers(0, 3))
def test_weights_are_rows(rows: list[tuple[int, int]], seed: int) -> None:
    answer, came = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    answer += np.arange(len(answer)) / 100  # without ties: which row comes first among equals is undefined
    weights = np.random.default_rng(seed).integers(0, 4, len(rows)).astype(float)
    assume(AmountRanking.can_tell(came, weights))
    again = np.repeat(np.arange(len(rows)), weights.astype(int))
    one, other = measured(answer, came, weights), measured(answer[again], came[again])
    for name in ("normalised_gini", "observed_over_expected", "mean_absolute_error"):
        assert one[name] == pytest.approx(other[name])


def test_the_best_order_the_worst_and_none() -> None:
    came = np.array([0.0] * 80 + list(range(1, 21)))
    assert measured(came, came)["normalised_gini"] == pytest.approx(1.0)
    assert measured(100 - came, came)["normalised_gini"] == pytest.approx(-1.0)
    assert measured(np.ones(100), came)["normalised_gini"] == pytest.approx(0.0)


def test_the_share_of_the_top_tenth_and_the_total() -> None:
    came = np.concatenate([np.full(10, 50.0), np.full(10, 40.0), np.zeros(80)])
    found = measured(np.linspace(2, 1, 100) * 6, came)
    assert found["value_at_10"] == pytest.approx(500 / 900)
    assert found["value_at_20"] == pytest.approx(1.0)
    assert found["observed_over_expected"] == pytest.approx(1.0, abs=0.01)
    assert measured(np.full(100, 18.0), came)["observed_over_expected"] == pytest.approx(0.5)


def test_an_amount_that_comes_true_has_a_small_calibration_error() -> None:
    rng = np.random.default_rng(1)
    expected = rng.gamma(1.0, 20.0, 40_000)
    came = rng.poisson(0.5, 40_000) * expected / 0.5
    assert measured(expected, came)["calibration_error"] < 0.05 < measured(expected * 0.7, came)["calibration_error"]
    assert measured(expected, came)["deviance"] < measured(np.full(40_000, came.mean()), came)["deviance"]


def test_models_of_amounts_are_paired() -> None:
    rng = np.random.default_rng(2)
    expected = rng.gamma(1.0, 20.0, 6_000)
    came = rng.poisson(1.0, 6_000) * expected
    users, best = pl.Series([f"u{i}" for i in range(6_000)]), np.argsort(-came, kind="stable")
    scores = {"model": expected, "worse": expected * rng.lognormal(0, 0.5, 6_000)}
    found = judge(
        scores, came, users, np.ones(6_000), seed=1, draws=100, rank=lambda answer: AmountRanking.of(answer, best)
    )
    ahead = found.ahead("model", "worse", "normalised_gini")
    assert ahead.low is not None
    assert ahead.low > 0
    assert set(found.measures("model")) == set(AmountRanking.METRICS)
