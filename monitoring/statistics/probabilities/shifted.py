"""Estimated performance on other users: the answers are recalibrated on labels weighted to be of users like today's.

PAPE (Białek, Kivimäki, Kuberski and Perrakis, NeurIPS 2025, arXiv 2401.08348). It sees that the answers are wrong for
kinds of users who are more frequent today, where there are labels of them. Like CBPE it cannot see a probability that
has become wrong since those labels.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from monitoring.statistics.inputs import Floats, inside, numbers, probabilities
from monitoring.statistics.probabilities import estimated
from monitoring.statistics.probabilities.estimated import Selection, effective_size
from monitoring.statistics.probabilities.recalibration import of_likelihood
from serving.model.numbers import Recalibration

#: weights above this quantile of them are cut to it
CLIP: Final = 0.99

#: a classifier that is this sure of one side says no more than that
_SURE: Final = 1e-6

#: with fewer labels of users like today's, as effective ones, nothing is estimated
LEAST: Final = 200


def density_ratio(today: ArrayLike, count: int) -> Floats:
    """How much more frequent users like each labelled one are today.

    ``w = D / (1 - D) · n_labelled / n_today``, clipped at its 99th percentile.

    Args:
        today: of each labelled user, the probability of a classifier that it is one of today's.
        count: how many of today's users the classifier was fitted on.

    Raises:
        ValueError: a probability outside [0, 1], or nobody of today.
    """
    chance = np.clip(probabilities(today), _SURE, 1 - _SURE)
    if count < 1:
        raise ValueError(f"there are {count} users of today; the ratio needs at least one")
    ratio = chance / (1 - chance) * (chance.size / count)
    return np.minimum(ratio, np.quantile(ratio, inside("the quantile", CLIP))) if ratio.size else ratio


@dataclass(frozen=True, slots=True)
class Shifted:
    """What the answers are expected to show on today's users.

    Attributes:
        effective: how many unweighted labels of users like today's there are; below `LEAST` nothing is estimated.
        auc, log_loss: of the answers as they are, if the moved ones are right.
        top: precision, recall and lift of the tenth with the highest answers.
        tier: the same of those at or above the upper tier's cut-off.
        ratio: events that the moved answers expect over those that the answers expect.
    """

    effective: float
    auc: float | None = None
    log_loss: float | None = None
    top: Selection | None = None
    tier: Selection | None = None
    ratio: float | None = None

    @property
    def known(self) -> bool:
        """Whether there are labels of users like today's."""
        return self.ratio is not None


def shifted(p: ArrayLike, y: ArrayLike, w: ArrayLike, answers: ArrayLike, *, cut: float) -> Shifted:
    """Estimate how the answers do on today's users.

    Args:
        p: answer of each labelled user.
        y: label of each, 0 or 1.
        w: weight of each: of untreated users, times the density ratio.
        answers: of today's users.
        cut: the upper tier's cut-off.

    Raises:
        ValueError: probabilities outside [0, 1], labels that are not 0 or 1, NaN, or lengths that differ.
    """
    weight, today = numbers("weights", w), probabilities(answers)
    effective = effective_size(weight)
    by = of_likelihood(p, y, w=weight) if effective >= LEAST else None
    if by is None or not today.size:
        return Shifted(effective)
    return _estimated(today, by, cut, effective)


def _estimated(today: Floats, by: Recalibration, cut: float, effective: float) -> Shifted:
    """The sums of CBPE over the moved answers; they keep the order, so that the answers select the same users."""
    right = by.apply(today)
    near = np.clip(today, 1e-9, 1 - 1e-9)
    loss = -np.mean(right * np.log(near) + (1 - right) * np.log1p(-near))
    moved = float(by.apply(np.array([cut]))[0])
    return Shifted(
        effective=effective,
        auc=estimated.auc(right),
        log_loss=float(loss),
        top=estimated.top(right, 0.1),
        tier=estimated.above(right, moved),
        ratio=float(right.sum() / today.sum()) if today.sum() > 0 else None,
    )
