"""Targeting: what is known by counting, coverage of the truth, and rankings that tell nothing."""

import numpy as np
import pytest

from monitoring.statistics.effects.targeting import doubly_robust, targeting

RNG = np.random.default_rng


def test_by_hand() -> None:
    effects = np.repeat([3.0, 1.0], 20)
    found = targeting(effects, -np.arange(40))
    curve = np.cumsum(effects) / np.arange(1, 41) - 2
    assert found.mean == 2
    assert found.autoc.value == pytest.approx(curve.mean())
    assert found.qini.value == pytest.approx((curve * np.arange(1, 41) / 40).mean())
    assert found.curve == pytest.approx(curve[3::4])
    assert found.curve[-1] == pytest.approx(0)
    assert targeting(effects, np.arange(40)).autoc.value < 0


def test_one_priority_for_all_ranks_nobody() -> None:
    found = targeting(RNG(1).normal(size=200), np.ones(200))
    assert found.autoc.value == pytest.approx(0)
    assert found.qini.value == pytest.approx(0)


def test_effects_are_unbiased_by_wrong_predictions() -> None:
    rng = RNG(2)
    n = 200_000
    treated = (rng.random(n) < 0.3).astype(float)
    y = (rng.random(n) < 0.4 - 0.1 * treated).astype(float)
    for low, high in ((0.4, 0.3), (0.9, 0.1)):
        found = doubly_robust(y, treated, np.full(n, low), np.full(n, high), 0.3)
        assert found.mean() == pytest.approx(-0.1, abs=4 * found.std() / np.sqrt(n))


@pytest.mark.long
def test_intervals_cover_the_truth() -> None:
    def world(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = RNG(seed)
        x = rng.normal(size=n)
        effect = 0.1 * x
        return effect, effect + rng.normal(size=n) * 0.9, x + rng.normal(size=n)

    effect, _, priority = world(0, 1_000_000)
    truth = _autoc(effect, priority)
    inside = 0
    for seed in range(1, 301):
        _, noisy, rank = world(seed, 2_000)
        found = targeting(noisy, rank, seed=seed).autoc
        inside += found.low <= truth <= found.high
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300) <= inside / 300


def _autoc(effects: np.ndarray, priorities: np.ndarray) -> float:
    ordered = effects[np.argsort(-priorities)]
    return float((np.cumsum(ordered) / np.arange(1, ordered.size + 1) - ordered.mean()).mean())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: targeting(np.zeros(19), np.zeros(19)), "there are 19 users"),
        (lambda: targeting(np.zeros(30), np.zeros(29)), "29"),
        (lambda: targeting(np.full(30, np.nan), np.zeros(30)), "NaN"),
        (lambda: doubly_robust(np.zeros(30), np.zeros(30), np.zeros(30), np.zeros(30), 1.0), "the treated share is 1"),
        (lambda: doubly_robust(np.zeros(30), np.full(30, 2), np.zeros(30), np.zeros(30), 0.5), "2"),
    ],
)
def test_what_cannot_be_judged_is_named(call, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=words):
        call()
