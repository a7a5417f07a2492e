"""Levels, lines and shifts, held against simulated outcomes and scikit-learn's regression."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from monitoring.statistics.probabilities.calibration import dispersion, level, logit_line, logit_shift
from tests.monitoring.statistics.worlds import calibrated, labels


def test_the_level_is_that_of_a_poisson_binomial() -> None:
    found = level([0.5, 0.25, 0.25], [1, 0, 1])
    assert (found.users, found.expected, found.observed, found.ratio) == (3, 1.0, 2.0, 2.0)
    assert found.error == pytest.approx(math.sqrt(0.25 + 2 * 0.1875))
    assert (found.low, found.high) == pytest.approx((2 - 1.959964 * found.error, 2 + 1.959964 * found.error))
    assert found.z == pytest.approx(1 / found.error)
    wide = level([0.5, 0.25, 0.25], [1, 0, 1], 4.0)
    assert wide.error == pytest.approx(2 * found.error)
    assert wide.low == 0.0, "no share is below 0"


@pytest.mark.parametrize(
    ("users", "rate", "explained", "error"),
    [(250, 0.1, 0.15, 0.175), (1_000, 0.1, 0.15, 0.087), (250, 0.3, 0.3, 0.081), (2_500, 0.3, 0.3, 0.026)],
)
def test_its_error_shrinks_with_users_and_with_the_rate(
    users: int, rate: float, explained: float, error: float
) -> None:
    p = calibrated(np.random.default_rng(1), 400_000, rate, explained).reshape(-1, users)
    assert np.mean([level(some, np.zeros(users)).error for some in p]) == pytest.approx(error, abs=0.001)


def test_the_interval_holds_1_in_95_of_100_snapshots() -> None:
    draw = np.random.default_rng(2)
    p = calibrated(draw, 500)
    found = [level(p, labels(draw, p)) for _ in range(4_000)]
    assert abs(np.mean([one.low <= 1 <= one.high for one in found]) - 0.95) < 0.01
    weight = draw.exponential(size=500)
    found = [level(p, labels(draw, p), w=weight) for _ in range(4_000)]
    assert abs(np.mean([one.low <= 1 <= one.high for one in found]) - 0.95) < 0.01


def test_over_dispersion_is_measured_and_then_allowed_for() -> None:
    draw = np.random.default_rng(3)
    p = calibrated(draw, 1_000)
    # every week a holiday or none: all logits move together
    weeks = [labels(draw, expit(logit(p) + moved)) for moved in draw.normal(0, 0.15, 4_000)]
    plain = [level(p, y) for y in weeks]
    phi = dispersion([one.z for one in plain[:2_000]])
    assert phi == pytest.approx(np.var([one.z for one in plain]), rel=0.1)
    assert phi > 2
    later = weeks[2_000:]
    assert np.mean([abs(level(p, y).z) < 1.96 for y in later]) < 0.85
    assert abs(np.mean([abs(level(p, y, phi).z) < 1.96 for y in later]) - 0.95) < 0.015


def test_dispersion_is_at_least_1() -> None:
    assert dispersion([]) == dispersion([math.nan]) == dispersion([0.1, -0.1]) == 1.0
    assert dispersion([2.0, -2.0, 9.0, math.nan]) == pytest.approx(4 / 0.455)
    with pytest.raises(ValueError, match="infinite"):
        dispersion([math.inf])


def test_nobody_and_nothing_expected_are_no_level() -> None:
    for found in (level([], []), level([0.0, 0.0], [0, 0]), level([0.5], [1], w=[0.0])):
        assert all(math.isnan(x) for x in (found.ratio, found.error, found.low, found.high, found.z))
    certain = level([1.0, 1.0], [1, 1])
    assert (certain.ratio, certain.low, certain.high) == (1.0, 1.0, 1.0)
    assert math.isnan(certain.z)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_line_is_that_of_other_peoples_code(weighted: bool) -> None:
    draw = np.random.default_rng(4)
    p = calibrated(draw, 5_000)
    y, w = labels(draw, expit(0.3 + 0.7 * logit(p))), draw.exponential(size=5_000)
    found = logit_line(p, y, w=w if weighted else None)
    x = logit(np.clip(p, 1e-9, 1 - 1e-9))[:, None]
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1_000).fit(x, y, sample_weight=w if weighted else None)
    assert (found.intercept, found.slope) == pytest.approx((oracle.intercept_[0], oracle.coef_[0, 0]), abs=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_its_errors_and_the_shifts_are_how_much_they_vary(weighted: bool) -> None:
    draw = np.random.default_rng(5)
    p = calibrated(draw, 1_000)
    w = draw.exponential(size=1_000) if weighted else None
    drawn = [labels(draw, p) for _ in range(2_000)]
    lines, shifts = [logit_line(p, y, w=w) for y in drawn], [logit_shift(p, y, w=w) for y in drawn]
    for values, errors in (
        ([one.intercept for one in lines], [one.intercept_error for one in lines]),
        ([one.slope - 1 for one in lines], [one.slope_error for one in lines]),
        ([one.value for one in shifts], [one.error for one in shifts]),
    ):
        assert np.std(values) == pytest.approx(np.mean(errors), rel=0.06)
        assert abs(np.mean(np.abs(values) < 1.96 * np.array(errors)) - 0.95) < 0.02


def test_a_shift_of_the_base_rate_and_extreme_probabilities_have_names_of_their_own() -> None:
    draw = np.random.default_rng(6)
    p = calibrated(draw, 200_000)
    moved = labels(draw, expit(logit(p) + 0.4))
    line, shift = logit_line(p, moved), logit_shift(p, moved)
    assert (line.intercept, line.slope) == pytest.approx((0.4, 1.0), abs=0.03)
    assert shift.value == pytest.approx(0.4, abs=0.02)
    line = logit_line(expit(2 * logit(p)), labels(draw, p))
    assert (line.intercept, line.slope) == pytest.approx((0.0, 0.5), abs=0.03)


def test_no_line_fits_best_where_labels_do_not_overlap() -> None:
    for p, y in (
        ([], []),
        ([0.2, 0.8], [1, 1]),
        ([0.2, 0.8], [0, 0]),
        ([0.2, 0.3, 0.7, 0.8], [0, 0, 1, 1]),
        ([0.2, 0.3, 0.7, 0.8], [1, 1, 0, 0]),
        ([0.2, 0.5, 0.5, 0.8], [0, 0, 1, 1]),  # they only touch
        ([0.5, 0.5, 0.5], [0, 1, 0]),  # no line through one place
    ):
        line = logit_line(p, y)
        assert all(math.isnan(x) for x in (line.intercept, line.slope, line.intercept_error, line.slope_error))
    assert math.isnan(logit_line([0.2, 0.7, 0.3, 0.8], [0, 0, 1, 1], w=[1, 0, 1, 1]).slope), "a user without weight"
    for y in ([], [0, 0], [1, 1]):
        assert math.isnan(logit_shift([0.2, 0.8][: len(y)], y).value)


def test_certain_probabilities_that_were_wrong_still_have_a_line() -> None:
    line = logit_line([0.0, 1.0, 0.0, 1.0, 0.4], [0, 1, 1, 0, 1])
    assert math.isfinite(line.slope)
    assert math.isfinite(line.slope_error)
    shift = logit_shift(np.zeros(10), [1, 1, 1, *[0] * 7])
    assert shift.value == pytest.approx(logit(0.3) - logit(1e-9), abs=1e-6)
    assert shift.error == pytest.approx(1 / math.sqrt(10 * 0.3 * 0.7), abs=1e-6)


PLACES = st.sampled_from([0.0, 1e-12, 0.001, 0.3, 0.5, 0.7, 0.999, 1.0])
ROWS = st.lists(st.tuples(PLACES, st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.1, 1.0, 20.0])), max_size=12)


@given(ROWS)
def test_a_line_solves_its_equations_or_is_none_at_all(rows: list[tuple[float, float, float]]) -> None:
    p, y, w = np.array(rows, dtype=float).reshape(-1, 3).T
    x, shift = logit(np.clip(p, 1e-9, 1 - 1e-9)), logit_shift(p, y, w=w)
    both = set(y[w > 0]) == {0.0, 1.0}
    assert math.isfinite(shift.value) == math.isfinite(shift.error) == both
    if both:
        assert w @ (y - expit(shift.value + x)) == pytest.approx(0, abs=1e-5)
    line = logit_line(p, y, w=w)
    parts = astuple(line)
    assert all(map(math.isfinite, parts)) or all(map(math.isnan, parts))
    if math.isfinite(line.slope):
        left = w * (y - expit(line.intercept + line.slope * x))
        assert (left.sum(), left @ x) == pytest.approx((0, 0), abs=1e-4)
    else:
        zeros, ones = x[(y == 0) & (w > 0)], x[(y == 1) & (w > 0)]
        edges = np.unique([*zeros, *ones])
        assert (
            not both
            or any((zeros <= e).all() and (ones >= e).all() for e in edges)
            or any((zeros >= e).all() and (ones <= e).all() for e in edges)
        )
