"""Performance estimated from probabilities alone, held against the metrics of labels drawn from them."""

import math
from dataclasses import astuple

import numpy as np
import pytest

from monitoring.statistics.probabilities.estimated import above, auc, effective_size, log_loss, top
from tests.monitoring.statistics.worlds import calibrated, labels
from training.evaluation.metrics import Ranking, metrics


@pytest.mark.parametrize("weighted", [False, True])
def test_estimates_are_what_labels_drawn_from_the_probabilities_show(weighted: bool) -> None:
    draw = np.random.default_rng(1)
    p = calibrated(draw, 4_000)
    w = draw.integers(1, 4, 4_000).astype(float) if weighted else np.ones(4_000)
    drawn = [metrics(Ranking.of(p), labels(draw, p), w) for _ in range(400)]
    shown = {name: np.mean([one[name] for one in drawn]) for name in drawn[0]}
    best = top(p, 0.1, w=w)
    assert auc(p, w=w) == pytest.approx(shown["auc"], abs=0.002)
    assert log_loss(p, w=w) == pytest.approx(shown["log_loss"], abs=0.002)
    assert best.lift == pytest.approx(shown["lift_at_10"], rel=0.005)
    assert best.recall == pytest.approx(shown["recall_at_10"], rel=0.005)
    assert best.share == pytest.approx(0.1)


def test_so_they_are_above_a_threshold() -> None:
    draw = np.random.default_rng(2)
    p = calibrated(draw, 4_000)
    drawn = np.array([labels(draw, p) for _ in range(400)])
    chosen = p >= 0.5
    found = above(p, 0.5)
    assert found.share == pytest.approx(chosen.mean())
    assert found.precision == pytest.approx(drawn[:, chosen].mean(), abs=0.003)
    assert found.recall == pytest.approx(np.mean(drawn[:, chosen].sum(axis=1) / drawn.sum(axis=1)), abs=0.003)
    assert found.lift == pytest.approx(np.mean(drawn[:, chosen].mean(axis=1) / drawn.mean(axis=1)), rel=0.005)
    assert above([0.2, 0.5], 0.5).precision == 0.5, "the threshold itself is selected"


def test_a_weight_is_that_many_users() -> None:
    p, w = np.array([0.9, 0.1, 0.4, 0.4, 0.7]), np.array([1, 3, 2, 0, 4])
    many = np.repeat(p, w)
    assert astuple(top(p, 0.45, w=w)) == pytest.approx(astuple(top(many, 0.45)))
    assert astuple(above(p, 0.4, w=w)) == pytest.approx(astuple(above(many, 0.4)))
    assert (auc(p, w=w), log_loss(p, w=w)) == pytest.approx((auc(many), log_loss(many)))


def test_users_who_are_alike_cannot_be_ranked() -> None:
    assert auc(np.full(9, 0.3)) == 0.5
    assert astuple(top(np.full(9, 0.3), 0.2)) == pytest.approx((0.2, 0.3, 0.2, 1.0))


def test_where_nothing_is_expected_there_is_nothing_to_estimate() -> None:
    assert math.isnan(auc([]))
    assert math.isnan(auc([0.0, 0.0]))
    assert math.isnan(auc([1.0, 1.0]))
    assert math.isnan(log_loss([]))
    assert math.isnan(top([], 0.1).share)
    none = above([0.1, 0.2], 0.5)
    assert (none.share, none.recall) == (0.0, 0.0)
    assert math.isnan(none.precision)
    assert math.isnan(none.lift)
    assert math.isnan(top([0.0, 0.0], 0.5).recall)
    assert (auc([0.0, 1.0]), log_loss([0.0, 1.0])) == (1.0, 0.0)
    with pytest.raises(ValueError, match=r"the share is 1\.2"):
        top([0.1], 1.2)


def test_the_effective_size_is_the_variance_of_a_weighted_mean() -> None:
    assert effective_size([2.0] * 7) == pytest.approx(7)
    assert effective_size([1.0, 0.0, 0.0]) == 1.0
    assert effective_size([]) == effective_size([0.0]) == 0.0
    assert effective_size([1e-200] * 3) == pytest.approx(3)
    draw = np.random.default_rng(3)
    w = draw.exponential(size=300)
    means = draw.standard_normal((20_000, 300)) @ w / w.sum()
    assert 1 / means.var() == pytest.approx(effective_size(w), rel=0.04)
    with pytest.raises(ValueError, match="weights hold -1"):
        effective_size([-1.0, 2.0])
