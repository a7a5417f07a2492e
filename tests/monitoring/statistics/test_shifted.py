"""Estimates on other users: nearer to what comes than the answers promise, and silent where no users are alike."""

import numpy as np
import pytest

from monitoring.statistics.probabilities import estimated
from monitoring.statistics.probabilities.shifted import CLIP, density_ratio, shifted
from training.evaluation.metrics import Ranking, metrics

N = 8_000


def answers(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(1.2 - x)))


def truth(x: np.ndarray) -> np.ndarray:
    """Of which the answers say too little, the more so the larger the feature is."""
    return np.asarray(1 / (1 + np.exp(1.2 - 1.7 * x)))


def drawn(seed: int, middle: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(middle, 1, N)
    return x, (rng.random(N) < truth(x)).astype(np.float64)


def alike(x: np.ndarray, middle: float) -> np.ndarray:
    """The right classifier of users around another middle."""
    ratio = np.exp(middle * x - middle**2 / 2)
    return np.asarray(ratio / (1 + ratio))


@pytest.mark.parametrize("seed", range(5))
def test_other_users_are_estimated_nearer_to_what_comes(seed: int) -> None:
    x, y = drawn(seed, 0.0)
    now, came = drawn(seed + 100, 1.0)
    cut = 0.6
    found = shifted(answers(x), y, density_ratio(alike(x, 1.0), N), answers(now), cut=cut)
    assert found.known
    assert found.tier is not None
    assert found.auc is not None
    assert found.log_loss is not None
    assert found.ratio is not None
    real = metrics(Ranking.of(answers(now)), came, np.ones(N))
    plain = estimated.above(answers(now), cut)
    chosen = answers(now) >= cut
    assert abs(found.ratio - real["observed_over_expected"]) < abs(1 - real["observed_over_expected"]) / 2
    assert abs(found.auc - real["auc"]) < abs(estimated.auc(answers(now)) - real["auc"]) / 2
    assert abs(found.tier.precision - came[chosen].mean()) < abs(plain.precision - came[chosen].mean()) / 2
    assert found.tier.share == pytest.approx(chosen.mean())
    assert abs(found.log_loss - real["log_loss"]) < 0.02
    assert found.effective < N


def test_a_wrong_probability_since_the_labels_is_not_seen() -> None:
    """What both estimates are blind to: users are the same, and what they do has changed."""
    x, _ = drawn(1, 0.0)
    right = (np.random.default_rng(3).random(N) < answers(x)).astype(np.float64)
    now, _ = drawn(2, 0.0)
    found = shifted(answers(x), right, density_ratio(np.full(N, 0.5), N), answers(now), cut=0.5)
    assert found.ratio == pytest.approx(1, abs=0.05), "though it happens more often now"
    assert truth(now).sum() / answers(now).sum() > 1.05


def test_users_unlike_any_there_are_labels_for() -> None:
    x, y = drawn(1, 0.0)
    few = slice(0, 400)
    found = shifted(answers(x)[few], y[few], density_ratio(alike(x, 3.0)[few], N), answers(x + 3), cut=0.5)
    assert found.effective < 200
    assert not found.known
    assert found.auc is None


def test_the_weights_are_cut_and_average_to_one() -> None:
    x, _ = drawn(5, 0.0)
    ratio = density_ratio(alike(x, 0.5), N)
    assert ratio.max() == pytest.approx(np.quantile(np.exp(0.5 * x - 0.125), CLIP), rel=1e-6)
    assert ratio.mean() == pytest.approx(1, abs=0.05)
    assert density_ratio(alike(x, 0.5), N // 2) == pytest.approx(2 * ratio)
    with pytest.raises(ValueError, match="there are 0 users of today"):
        density_ratio(alike(x, 0.5), 0)
