"""Metrics agree with scikit-learn's, and intervals are paired."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from training.evaluation.judgement import judge
from training.evaluation.metrics import Ranking, metrics


@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_metrics_are_those_of_scikit_learn(seed: int, ties: bool, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 300))
    p = rng.random(n)
    p = np.round(p, 1) * 0.9 + 0.05 if ties else p
    labels = (rng.random(n) < p).astype(float)
    labels[:2] = [0, 1]
    weights = rng.integers(0, 4, n).astype(float) if weighted else np.ones(n)
    weights[:2] = 1
    found = metrics(Ranking.of(p), labels, weights)
    assert found["auc"] == pytest.approx(roc_auc_score(labels, p, sample_weight=weights))
    assert found["average_precision"] == pytest.approx(average_precision_score(labels, p, sample_weight=weights))
    assert found["log_loss"] == pytest.approx(log_loss(labels, p, sample_weight=weights))
    assert found["brier"] == pytest.approx(brier_score_loss(labels, p, sample_weight=weights))


def test_lift_and_recall_of_the_top_tenth() -> None:
    labels = np.zeros(1_000)
    labels[:50] = 1
    labels[500:550] = 1
    found = metrics(Ranking.of(np.linspace(1, 0, 1_000)), labels, np.ones(1_000))
    assert found["recall_at_10"] == pytest.approx(0.5)
    assert found["lift_at_10"] == pytest.approx(5.0)


def test_a_calibrated_probability_has_a_small_calibration_error() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(50_000)
    labels = (rng.random(50_000) < p).astype(float)
    good = metrics(Ranking.of(p), labels, np.ones(50_000))
    bad = metrics(Ranking.of(p * 0.8), labels, np.ones(50_000))
    assert good["calibration_error"] < 0.01 < bad["calibration_error"]
    assert good["observed_over_expected"] == pytest.approx(1.0, abs=0.02)
    assert bad["observed_over_expected"] == pytest.approx(1.25, abs=0.02)


def test_paired_intervals_see_a_small_difference() -> None:
    rng = np.random.default_rng(2)
    p = rng.beta(2, 8, 8_000)
    labels = (rng.random(8_000) < p).astype(float)
    logit = np.log(p / (1 - p))
    worse = 1 / (1 + np.exp(-(logit + rng.normal(0, 0.35, 8_000))))
    users = pl.Series([f"u{i // 2}" for i in range(8_000)])
    found = judge({"model": p, "baseline": worse}, labels, users, np.ones(len(labels)), seed=1, draws=200)
    behind = found.ahead("model", "baseline", "auc")
    assert behind.low is not None
    assert behind.low > 0
    auc = found.measure("model", "auc")
    assert auc.low is not None
    assert auc.high is not None
    assert behind.high is not None
    assert behind.high - behind.low < auc.high - auc.low, "pairing takes the users' noise out"
    assert found.measure("baseline", "auc").value == pytest.approx(auc.value - behind.value)


def test_some_models_of_many_are_measured_as_if_there_were_no_others() -> None:
    rng = np.random.default_rng(3)
    p, other = rng.random(12), rng.random(12)
    labels = (np.arange(12) < 2).astype(float)  # so few that some resamples tell nothing
    users = pl.Series([f"u{i}" for i in range(12)])
    many = judge({"a": p, "b": other}, labels, users, np.ones(12), seed=1, draws=60)
    alone = judge({"x": other}, labels, users, np.ones(12), seed=1, draws=40)
    found = many.among({"x": "b"}, 40)
    assert 0 < len(found.numbers) < 40
    assert found.measures("x") == alone.measures("x")
    assert found.chance == alone.chance
