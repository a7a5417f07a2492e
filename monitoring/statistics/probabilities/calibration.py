"""Realised against expected: how many outcomes came true beside how many were predicted."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from monitoring.statistics.inputs import Floats, labels, numbers, probabilities, two_sided, weights
from monitoring.statistics.probabilities.logistic import fit

#: the median of the square of a standard normal number
_MEDIAN_SQUARE = 0.455

#: probabilities are kept this far from 0 and 1 where their logit is taken
_CERTAIN = 1e-9


@dataclass(frozen=True, slots=True)
class Level:
    """How many outcomes came true beside how many were expected.

    Attributes:
        users: how many there are.
        expected: the sum of their probabilities.
        observed: the sum of their labels.
        ratio: observed over expected; NaN where nothing was expected.
        error: standard error of the ratio, were the probabilities right.
        low: lower end of the 95 % interval of the ratio, at least 0.
        high: upper end of it.
    """

    users: int
    expected: float
    observed: float
    ratio: float
    error: float
    low: float
    high: float

    @property
    def z(self) -> float:
        """How many standard errors the ratio is from 1; NaN where there is no error to measure by."""
        return (self.ratio - 1) / self.error if self.error > 0 else math.nan


def level(p: ArrayLike, y: ArrayLike, phi: float = 1.0, *, w: ArrayLike | None = None) -> Level:
    """Compare observed with expected outcomes.

    The number of outcomes of calibrated probabilities is Poisson binomial: ``Var(Σ w y) = φ Σ w² p (1 - p)``.

    Args:
        p: probability of each user.
        y: label of each user, 0 or 1.
        phi: over-dispersion, at least 1: how much more the ratio varies from one snapshot to the next than it would
            if users were independent; `dispersion` estimates it.
        w: weight of each user.

    Raises:
        ValueError: probabilities outside [0, 1], labels that are not 0 or 1, NaN, or lengths that differ; ``phi``
            below 1.
    """
    predicted = probabilities(p)
    true, weight = labels(y, predicted.size), weights(w, predicted.size)
    spread = math.sqrt(at_least_one(phi) * float(weight**2 @ (predicted * (1 - predicted))))
    expected, observed = float(weight @ predicted), float(weight @ true)
    ratio, error = (observed / expected, spread / expected) if expected > 0 else (math.nan, math.nan)
    reach = two_sided(0.95) * error
    low = max(0.0, ratio - reach) if expected > 0 else math.nan
    return Level(predicted.size, expected, observed, ratio, error, low, ratio + reach)


def dispersion(z: ArrayLike) -> float:
    """Estimate over-dispersion from earlier snapshots: ``max(1, median(z²) / 0.455)``.

    The median does not follow the one snapshot in which something broke.

    Args:
        z: the `Level.z` of each snapshot, computed without over-dispersion; NaN is left out.

    Returns:
        At least 1; 1 where there is no snapshot.

    Raises:
        ValueError: one of them is infinite.
    """
    given = np.asarray(z, dtype=np.float64)
    known = numbers("deviations", given[~np.isnan(given)])
    return max(1.0, float(np.median(known**2)) / _MEDIAN_SQUARE) if known.size else 1.0


def at_least_one(phi: float) -> float:
    """Return an over-dispersion.

    Raises:
        ValueError: it is below 1, NaN or infinite.
    """
    if not 1 <= phi < math.inf:
        raise ValueError(f"the over-dispersion is {phi:g}; it must be 1 or more")
    return phi


@dataclass(frozen=True, slots=True)
class Line:
    """Logit of the outcome as a line of the logit of the probability: 0 and 1 where it is calibrated.

    All are NaN where labels are all alike, or where one probability separates those of 0 from those of 1: no line is
    the most likely one then.

    Attributes:
        intercept: of the line.
        slope: of the line; below 1 where probabilities are too extreme.
        intercept_error: standard error of the intercept.
        slope_error: standard error of the slope.
    """

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float


def logit_line(p: ArrayLike, y: ArrayLike, *, w: ArrayLike | None = None) -> Line:
    """Regress labels on the logit of the probability (Cox 1958, Biometrika 45).

    Args:
        p: probability of each user; those within 1e-9 of 0 or 1 are moved to there.
        y: label of each user, 0 or 1.
        w: weight of each user.

    Raises:
        ValueError: as for `level`.
    """
    logit, true, weight = logits(p, y, w)
    if _separable(logit, true):
        return Line(math.nan, math.nan, math.nan, math.nan)
    (intercept, slope), covariance = fit(np.column_stack([np.ones(logit.size), logit]), true, weight)
    return Line(float(intercept), float(slope), math.sqrt(float(covariance[0, 0])), math.sqrt(float(covariance[1, 1])))


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the level lies from that of the probabilities, in logits.

    Attributes:
        value: what has to be added to each logit; NaN where labels are all alike.
        error: standard error of it.
    """

    value: float
    error: float


def logit_shift(p: ArrayLike, y: ArrayLike, *, w: ArrayLike | None = None) -> Shift:
    """Estimate the intercept of `logit_line` with its slope held at 1.

    Args:
        p: probability of each user; those within 1e-9 of 0 or 1 are moved to there.
        y: label of each user, 0 or 1.
        w: weight of each user.

    Raises:
        ValueError: as for `level`.
    """
    logit, true, weight = logits(p, y, w)
    if not 0 < true.sum() < true.size:
        return Shift(math.nan, math.nan)
    [value], covariance = fit(np.ones((logit.size, 1)), true, weight, offset=logit)
    return Shift(float(value), math.sqrt(float(covariance[0, 0])))


def logits(p: ArrayLike, y: ArrayLike, w: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """Logits, labels and weights of the users who have a weight."""
    predicted = probabilities(p)
    true, weight = labels(y, predicted.size), weights(w, predicted.size)
    near = np.clip(predicted, _CERTAIN, 1 - _CERTAIN)
    kept = weight > 0
    return np.log(near / (1 - near))[kept], true[kept], weight[kept]


def _separable(logit: Floats, true: Floats) -> bool:
    """Whether no line is the most likely one (Albert and Anderson 1984, Biometrika 71): labels do not overlap."""
    zeros, ones = logit[true == 0], logit[true == 1]
    if not zeros.size or not ones.size:
        return True
    return bool(zeros.max() <= ones.min() or ones.max() <= zeros.min())
