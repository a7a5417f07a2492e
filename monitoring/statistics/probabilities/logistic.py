"""Logistic regression by Newton's method, of data that have a most likely fit."""

import numpy as np
from scipy.special import expit

from monitoring.statistics.inputs import Floats

_STEPS = 200
#: the last step is shorter than 1e-6 standard errors, relative to the root of the log likelihood
_CLOSE = 1e-12
#: how far one step may move a logit
_LONGEST = 5.0


def fit(
    design: Floats, true: Floats, weight: Floats, *, offset: Floats | None = None, ridge: Floats | None = None
) -> tuple[Floats, Floats]:
    """Fit coefficients, halving a step that does not make the data more likely.

    Args:
        design: ``[users, coefficients]``.
        true: labels, 0 or 1; they must overlap, or the fit has no end.
        weight: of each user, above 0.
        offset: logit that is added with a coefficient of 1.
        ridge: what half the square of each coefficient takes off the log likelihood; 0 where left out.

    Returns:
        The coefficients and their covariance, that of a fit without a ridge: with weights, of a weighted sum of
        independent labels. All are NaN where it has not converged, or to nothing but rounding, as with weights that
        differ by ten orders of magnitude.
    """
    start = np.zeros(true.size) if offset is None else offset
    found = np.zeros(design.shape[1])
    held = np.zeros(found.size) if ridge is None else ridge

    def likelihood(at: Floats) -> float:
        return _likelihood(start + design @ at, true, weight) - float(held @ at**2) / 2

    best = likelihood(found)
    for _ in range(_STEPS):
        chance = expit(start + design @ found)
        gradient = design.T @ (weight * (true - chance)) - held * found
        # least squares, because the information of few users may be singular to rounding
        information = _information(design, weight * chance * (1 - chance)) + np.diag(held)
        step = np.linalg.lstsq(information, gradient, rcond=None)[0]
        if gradient @ step < _CLOSE * (1 + abs(best)):  # the likelihood is too flat to compare here
            found = found + step
            covariance = _covariance(design, expit(start + design @ found), weight)
            if (np.diagonal(covariance) < 0).any():  # rounding is all there is
                break
            return found, covariance
        # a longer step could end where all chances are 0 or 1, and nothing tells the way back
        step = step / max(1.0, float(np.abs(design @ step).max()) / _LONGEST)
        while (now := likelihood(found + step)) < best:
            step = step / 2
        found, best = found + step, now
    return np.full(found.shape, np.nan), np.full((found.size, found.size), np.nan)


def _likelihood(logit: Floats, true: Floats, weight: Floats) -> float:
    """Log likelihood: ``y η - ln(1 + exp η)``."""
    return float(weight @ (true * logit - np.logaddexp(0.0, logit)))


def _information(design: Floats, spread: Floats) -> Floats:
    return np.asarray(design.T @ (spread[:, None] * design))


def _covariance(design: Floats, chance: Floats, weight: Floats) -> Floats:
    spread = chance * (1 - chance)
    inverse = np.linalg.pinv(_information(design, weight * spread))
    return np.asarray(inverse @ _information(design, weight**2 * spread) @ inverse)
