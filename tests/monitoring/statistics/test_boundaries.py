"""Boundaries of planned looks and of any look, held against published tables and simulated experiments."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from monitoring.statistics.effects.boundaries import always_valid, boundaries, reach_of, spent


@pytest.mark.parametrize(
    "published",
    [
        (1.960,),
        (2.963, 1.969),
        (3.710, 2.511, 1.993),
        (4.333, 2.963, 2.359, 2.014),
        (4.877, 3.357, 2.680, 2.290, 2.031),
    ],
)
def test_equal_looks_have_the_published_boundaries(published: tuple[float, ...]) -> None:
    looks = np.arange(1, len(published) + 1) / len(published)
    assert boundaries(looks) == pytest.approx(published, abs=0.001)


@pytest.mark.parametrize(
    ("looks", "alpha"), [((0.2, 0.4, 0.6, 0.8, 1.0), 0.05), ((0.3, 0.35, 0.9, 1.0), 0.05), ((0.5, 0.75, 1.0), 0.2)]
)
def test_over_all_looks_alpha_is_spent_and_by_each_its_part(looks: tuple[float, ...], alpha: float) -> None:
    draw = np.random.default_rng(1)
    steps = np.sqrt(np.diff(looks, prepend=0.0))
    paths = np.cumsum(draw.standard_normal((400_000, len(looks))) * steps, axis=1)
    beyond = np.abs(paths) / np.sqrt(looks) > boundaries(looks, alpha)
    crossed = np.logical_or.accumulate(beyond, axis=1).mean(axis=0)
    assert crossed == pytest.approx([spent(t, alpha) for t in looks], abs=4 * math.sqrt(alpha / 400_000))
    assert spent(1.0, alpha) == pytest.approx(alpha)


@pytest.mark.parametrize(
    ("looks", "power"),
    [((0.2, 0.4, 0.6, 0.8, 1.0), 0.8), ((0.3, 0.35, 0.9, 1.0), 0.9), ((0.5, 0.8), 0.5), ((1.0,), 0.8)],
)
def test_an_effect_of_the_reach_is_found_as_often_as_wanted(looks: tuple[float, ...], power: float) -> None:
    draw = np.random.default_rng(2)
    effect = reach_of(looks, power=power) + norm.ppf(power)  # in standard errors of the last look
    steps = np.diff(looks, prepend=0.0)
    paths = np.cumsum(draw.standard_normal((400_000, len(looks))) * np.sqrt(steps), axis=1)
    paths += effect / math.sqrt(looks[-1]) * np.array(looks)
    found = (np.abs(paths) / np.sqrt(looks) > boundaries(looks)).any(axis=1).mean()
    assert found == pytest.approx(power, abs=4 * math.sqrt(power * (1 - power) / 400_000))


def test_looks_cost_a_few_users_in_a_hundred_and_one_look_costs_none() -> None:
    assert reach_of([1.0]) == pytest.approx(1.95996, abs=1e-4)
    known = {
        n: (reach_of(np.arange(1, n + 1) / n) + norm.ppf(0.8)) ** 2 / (1.95996 + norm.ppf(0.8)) ** 2 for n in (2, 5, 10)
    }
    assert 1 < known[2] < known[5] < known[10] < 1.05
    with pytest.raises(ValueError, match="power"):
        reach_of([1.0], power=0.01)


def test_a_boundary_depends_on_no_later_look() -> None:
    assert boundaries([0.3, 0.7])[1] == pytest.approx(boundaries([0.3, 0.7, 0.71, 1.0])[1])
    assert boundaries([0.3])[0] == pytest.approx(norm.isf(spent(0.3) / 2))


def test_a_look_that_is_far_too_early_shows_nothing_and_costs_nothing() -> None:
    found = boundaries([0.001, 0.002, 0.5, 1.0])
    assert np.isinf(found[:2]).all()
    assert found[2:] == pytest.approx(boundaries([0.5, 1.0]), abs=1e-6)


def test_a_look_right_after_another_hardly_tells_more() -> None:
    found = boundaries([0.5, 0.501, 1.0])
    assert found[2] == pytest.approx(boundaries([0.501, 1.0])[1], abs=0.002)
    assert (found[:2] > 2.95).all()


@pytest.mark.parametrize("looks", [(), (0.5, 0.5), (0.5, 0.4), (0.0, 1.0), (0.5, 1.1), (0.5, 0.5001), (0.5, math.nan)])
def test_what_is_no_plan_of_looks_is_refused(looks: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"0 looks|must grow|NaN"):
        boundaries(looks)


def test_alpha_is_a_share() -> None:
    for wrong in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="alpha is"):
            boundaries([0.5, 1.0], wrong)
    with pytest.raises(ValueError, match="fraction is 0"):
        spent(0.0)


@pytest.mark.parametrize(
    ("users", "ratio"), [(500, 1.97), (1_000, 1.72), (5_000, 1.55), (20_000, 1.60), (100_000, 1.70)]
)
def test_an_interval_for_any_time_is_wider_by_the_published_ratio(users: int, ratio: float) -> None:
    assert always_valid(users) / norm.ppf(0.975) == pytest.approx(ratio, abs=0.005)


def test_it_may_be_looked_at_after_every_user() -> None:
    draw = np.random.default_rng(2)
    users = np.arange(1, 10_001)
    reach = np.array([always_valid(n) for n in users])
    false, weekly = 0, 0
    for _ in range(8):
        z = np.cumsum(draw.standard_normal((250, 10_000)), axis=1) / np.sqrt(users)
        false += int((np.abs(z) > reach).any(axis=1).sum())
        weekly += int((np.abs(z[:, 99:]) > 1.96).any(axis=1).sum())
    assert 0.005 < false / 2_000 < 0.05
    assert weekly / 2_000 > 0.3, "what a fixed interval would do"


def test_nobody_has_no_interval() -> None:
    for users, tuned in ((0, 5_000), (10, 0)):
        with pytest.raises(ValueError, match="must be above 0"):
            always_valid(users, tuned_for=tuned)
    with pytest.raises(ValueError, match="alpha is 0"):
        always_valid(10, alpha=0.0)
