"""Recalibration: how answers are moved so that they are as large as what came true, in the same order."""

import math

import numpy as np
from numpy.typing import ArrayLike

from monitoring.statistics.inputs import Floats, numbers, same_length, weights
from monitoring.statistics.probabilities.calibration import logits
from monitoring.statistics.probabilities.estimated import effective_size
from monitoring.statistics.probabilities.logistic import fit
from serving.model.numbers import Recalibration

#: standard deviation around 1 that slopes are expected to have: few labels say little of a slope
SLOPE_SPREAD = 0.25


def of_likelihood(p: ArrayLike, y: ArrayLike, *, w: ArrayLike | None = None) -> Recalibration | None:
    """Fit slope and offset of the logit by weighted maximum likelihood, the slope drawn towards 1.

    Weights are scaled to their effective size, so that few users with large weights are no more than they are.

    Args:
        p: probability of each user.
        y: label of each user, 0 or 1.
        w: weight of each user.

    Returns:
        None where labels are all alike, or where the most likely slope is not above 0.

    Raises:
        ValueError: probabilities outside [0, 1], labels that are not 0 or 1, NaN, or lengths that differ.
    """
    logit, true, weight = logits(p, y, w)
    if not 0 < true.sum() < true.size:
        return None
    worth = weight * (effective_size(weight) / weight.sum())
    design = np.column_stack([np.ones(logit.size), logit])
    (offset, steeper), _ = fit(design, true, worth, offset=logit, ridge=np.array([0.0, SLOPE_SPREAD**-2]))
    slope = 1.0 + float(steeper)
    return Recalibration(slope=slope, offset=float(offset)) if math.isfinite(offset) and slope > 0 else None


def of_amount(expected: ArrayLike, came: ArrayLike, *, w: ArrayLike | None = None) -> Recalibration | None:
    """Fit the factor of amounts: the Poisson likelihood is largest where the totals are the same.

    Args:
        expected: of each user.
        came: what came of each user.
        w: weight of each user.

    Returns:
        None where nothing was expected, or nothing came.

    Raises:
        ValueError: NaN, or lengths that differ.
    """
    predicted = numbers("amounts", expected)
    true, weight = same_length("labels", numbers("labels", came), predicted.size), weights(w, predicted.size)
    total, observed = float(weight @ predicted), float(weight @ true)
    return Recalibration(scale=observed / total) if total > 0 and observed > 0 else None


def spiegelhalter(p: Floats, y: Floats, *, w: Floats) -> float:
    """Spiegelhalter's Z (1986): how far the Brier score lies from what right probabilities would have.

    ``Σ w (y - p)(1 - 2p) / √(Σ w² (1 - 2p)² p (1 - p))``, standard normal where probabilities are right. It sees
    probabilities that are too extreme, or not extreme enough, as well as a wrong level.

    Args:
        p: probability of each user.
        y: label of each user, 0 or 1.
        w: weight of each user.

    Returns:
        NaN where every probability is 0, one half or 1.
    """
    turned = 1 - 2 * p
    spread = math.sqrt(float(w**2 @ (turned**2 * p * (1 - p))))
    return float(w @ ((y - p) * turned)) / spread if spread > 0 else math.nan
