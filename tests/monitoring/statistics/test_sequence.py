"""The alarm of many looks: seldom false in a year of weeks, and soon where the level is off."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import multivariate_normal

from monitoring.statistics.probabilities.calibration import level
from monitoring.statistics.probabilities.sequence import AlarmSequence, log_evidence
from tests.monitoring.statistics.worlds import calibrated

ALARM = math.log(100)


def year(seed: int, users: int, runs: int, *, ratio: float = 1.0, weeks: int = 52) -> tuple[np.ndarray, np.ndarray]:
    """Deviations ``[runs, weeks]`` and their variances: other users every week, and other outcomes in every run."""
    draw = np.random.default_rng(seed)
    deviations, variances = np.empty((runs, weeks)), np.empty(weeks)
    for week in range(weeks):
        p = calibrated(draw, users)
        truth = (
            p
            if ratio == 1
            else expit(logit(p) + brentq(lambda s, p=p: expit(logit(p) + s).sum() - ratio * p.sum(), -3, 3))
        )
        observed = (draw.random((runs, users), dtype=np.float32) < truth.astype(np.float32)).sum(axis=1)
        deviations[:, week] = observed / p.sum() - 1
        variances[week] = level(p, np.zeros(users)).error ** 2
    return deviations, variances


@pytest.mark.parametrize("users", [250, 1_000, 2_500])
def test_in_a_year_of_weeks_one_run_in_100_is_a_false_alarm_at_most(users: int) -> None:
    deviations, variances = year(users, users, runs=2_000)
    alarmed = (log_evidence(deviations, variances, 0.05) > ALARM).any(axis=1)
    assert alarmed.mean() <= 0.01
    every_week = (np.abs(deviations) > 1.96 * np.sqrt(variances)).any(axis=1)
    assert every_week.mean() > 0.9, "what a weekly test of 5 % would do"


def test_a_level_a_fifth_too_low_is_found_within_four_weeks() -> None:
    deviations, variances = year(7, 1_000, runs=2_000, ratio=1.2, weeks=8)
    over = log_evidence(deviations, variances, 0.05) > ALARM
    first = np.where(over.any(axis=1), over.argmax(axis=1), 99)
    assert (first < 4).mean() >= 0.9
    assert np.median(first) == 0, "the first snapshot"


def test_over_dispersion_keeps_holidays_quiet() -> None:
    deviations, variances = year(8, 1_000, runs=2_000)
    restless = deviations + np.random.default_rng(8).normal(0, np.sqrt(3 * variances), deviations.shape)
    assert (log_evidence(restless, variances, 0.05) > ALARM).any(axis=1).mean() > 0.3
    calm = [AlarmSequence().extend(run, variances, phi=4.0).alarmed_at for run in restless[:1_000]]
    assert np.mean([at is not None for at in calm]) <= 0.01


def test_the_evidence_is_the_ratio_of_two_normal_densities() -> None:
    d, v, tau = np.array([0.1, -0.02, 0.3, 0.07]), np.array([0.01, 0.002, 0.05, 0.004]), 0.05
    for k in range(1, 5):
        off = multivariate_normal(np.zeros(k), np.diag(v[:k]) + tau**2).logpdf(d[:k])
        right = multivariate_normal(np.zeros(k), np.diag(v[:k])).logpdf(d[:k])
        assert log_evidence(d, v, tau)[k - 1] == pytest.approx(off - right)


def test_snapshots_are_added_one_by_one_or_together() -> None:
    empty = AlarmSequence()
    assert empty.alarmed_at is None
    assert empty.evidence.size == 0
    d, v = [0.02, 0.3, 0.25, -0.1], [0.004, 0.005, 0.003, 0.004]
    together, one_by_one = empty.extend(d, v), empty
    for deviation, variance in zip(d, v, strict=True):
        one_by_one = one_by_one.add(deviation, variance)
    assert together == one_by_one
    assert empty.deviations == (), "nothing is changed in place"
    assert together.evidence == pytest.approx(log_evidence(d, v, 0.05))
    assert together.alarmed_at == int(np.argmax(together.evidence > together.threshold)) == 2
    assert AlarmSequence(alpha=0.5).extend(d, v).alarmed_at == 1
    assert together.extend(d, v, phi=9.0).evidence[:4] == pytest.approx(together.evidence), "the past stays"
    assert empty.add(0.3, 0.005, phi=2.0) == empty.add(0.3, 0.01)


def test_what_cannot_be_evidence_is_refused() -> None:
    with pytest.raises(ValueError, match="variances hold 0"):
        AlarmSequence().add(0.1, 0.0)
    with pytest.raises(ValueError, match="deviations hold 1 values that are NaN"):
        AlarmSequence().add(math.nan, 0.1)
    with pytest.raises(ValueError, match="1 variances for 2"):
        AlarmSequence().extend([0.1, 0.2], [0.1])
    with pytest.raises(ValueError, match="over-dispersion"):
        AlarmSequence().add(0.1, 0.1, phi=0.5)
    with pytest.raises(ValueError, match="alpha is 1"):
        AlarmSequence(alpha=1.0)
    with pytest.raises(ValueError, match="tau is 0"):
        AlarmSequence(tau=0.0)
