"""Estimated performance before labels are known: what the probabilities imply for their own ranking.

Confidence-based performance estimation holds where the probabilities are right. It cannot see that they are wrong.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr

from monitoring.statistics.inputs import Floats, inside, numbers, probabilities, weights


@dataclass(frozen=True, slots=True)
class Selection:
    """What is expected of the users who are selected; NaN where it is a share of nothing.

    Attributes:
        share: of all users who are selected.
        precision: share of the selected whose outcome comes true.
        recall: share of all outcomes that come true among the selected.
        lift: precision over the base rate.
    """

    share: float
    precision: float
    recall: float
    lift: float


def above(p: ArrayLike, threshold: float, *, w: ArrayLike | None = None) -> Selection:
    """Estimate precision, recall and lift of the users at or above a threshold.

    Args:
        p: probability of each user.
        threshold: users with at least this probability are selected.
        w: weight of each user.

    Raises:
        ValueError: probabilities outside [0, 1], NaN, weights below 0, or lengths that differ.
    """
    probability = probabilities(p)
    weight = weights(w, probability.size)
    return _selection(probability, weight, np.where(probability >= threshold, weight, 0.0))


def top(p: ArrayLike, share: float, *, w: ArrayLike | None = None) -> Selection:
    """Estimate precision, recall and lift of the top share of users.

    Args:
        p: probability of each user.
        share: of the total weight, between 0 and 1. The user on its border is selected in part, so that the share is
            exact; among users of equal probability it does not matter who is.
        w: weight of each user.

    Raises:
        ValueError: as for `above`, and a share that is not between 0 and 1.
    """
    probability = probabilities(p)
    weight = weights(w, probability.size)
    order = np.argsort(-probability, kind="stable")
    ranked = weight[order]
    before = np.cumsum(ranked) - ranked
    taken = np.zeros(probability.size)
    taken[order] = np.clip(inside("the share", share) * weight.sum() - before, 0.0, ranked)
    return _selection(probability, weight, taken)


def auc(p: ArrayLike, *, w: ArrayLike | None = None) -> float:
    """Estimate the area under the ROC curve by sweeping the threshold; ties count half.

    Args:
        p: probability of each user.
        w: weight of each user.

    Returns:
        NaN where no outcome, or nothing but outcomes, is expected.

    Raises:
        ValueError: as for `above`.
    """
    probability = probabilities(p)
    weight = weights(w, probability.size)
    _, place = np.unique(probability, return_inverse=True)
    positives = np.bincount(place, weight * probability)
    negatives = np.bincount(place, weight * (1 - probability))
    pairs = positives.sum() * negatives.sum()
    below = np.cumsum(negatives) - negatives / 2
    return float(positives @ below / pairs) if pairs > 0 else math.nan


def log_loss(p: ArrayLike, *, w: ArrayLike | None = None) -> float:
    """Estimate the log loss: the mean entropy of the probabilities.

    Args:
        p: probability of each user.
        w: weight of each user.

    Returns:
        NaN where nobody has a weight.

    Raises:
        ValueError: as for `above`.
    """
    probability = probabilities(p)
    weight = weights(w, probability.size)
    return _ratio(float(weight @ (entr(probability) + entr(1 - probability))), float(weight.sum()))


def effective_size(w: ArrayLike) -> float:
    """The number of unweighted users with the same information: ``(Σ w)² / Σ w²`` (Kish 1965).

    Args:
        w: weight of each user.

    Returns:
        0 where nobody has a weight.

    Raises:
        ValueError: weights below 0, or NaN.
    """
    weight = numbers("weights", w)
    weight = weights(weight, weight.size)
    largest = weight.max(initial=0.0)
    if largest == 0:
        return 0.0
    relative = weight / largest  # squares of very small weights would be 0
    return float(relative.sum() ** 2 / (relative @ relative))


def _selection(probability: Floats, weight: Floats, taken: Floats) -> Selection:
    """The selection of a part of each user's weight."""
    everybody, selected = float(weight.sum()), float(taken.sum())
    positives, found = float(weight @ probability), float(taken @ probability)
    precision = _ratio(found, selected)
    return Selection(
        share=_ratio(selected, everybody),
        precision=precision,
        recall=_ratio(found, positives),
        lift=_ratio(precision * everybody, positives),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
