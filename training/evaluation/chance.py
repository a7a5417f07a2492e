"""What a perfect forecast would show: how far calibration and level lie from the truth by chance alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.model.numbers import Floats

#: how sure it must be that chance alone does not explain what is seen
SURE = 0.995
DRAWS = 2_000


@dataclass(frozen=True, slots=True)
class Chance:
    """What a perfect forecast of as many users stays below, 995 times in 1,000.

    Attributes:
        calibration_error: in the terms of the metric of that name.
        level: distance of observed over expected from 1.
    """

    calibration_error: float
    level: float


def chance(
    answers: Floats, labels: Floats, bins: NDArray[np.int64], owner: NDArray[np.int64], weights: Floats, *,
    relative: bool, seed: int,
) -> Chance:  # fmt: skip
    """Work out what chance alone would show.

    A bin's gap is a sum over users, whose rows depend on each other; its spread is that of the users' own sums around
    the bin's mean (the cluster-robust variance of Liang and Zeger 1986), and of a probability at least the binomial
    one. The calibration error of a perfect forecast is then a sum of absolute normal numbers.

    Args:
        answers: the prediction of each row.
        labels: what came true.
        bins: equal-mass bin of each row, from 0 on.
        owner: number of each row's user, from 0 on.
        weights: how many rows each row stands for.
        relative: whether errors are given relative to the total that came true, as those of amounts are.
        seed: of the draws.
    """
    wrong = weights * (labels - answers)
    count = int(bins.max()) + 1
    mass = np.bincount(bins, weights, minlength=count)
    mean = np.bincount(bins, wrong, minlength=count) / np.maximum(mass, 1e-12)
    around = wrong - weights * mean[bins]
    sums = np.bincount(owner * count + bins, around, minlength=(int(owner.max()) + 1) * count).reshape(-1, count)
    variance = (sums**2).sum(axis=0)
    if not relative:
        variance = np.maximum(variance, np.bincount(bins, weights**2 * answers * (1 - answers), minlength=count))
    drawn = np.random.default_rng(seed).standard_normal((DRAWS, count)) * np.sqrt(variance)
    total = float(weights @ labels) if relative else float(weights.sum())
    whole = np.sqrt(max(float((sums.sum(axis=1) ** 2).sum()), float(variance.sum())))
    expected = max(float(weights @ answers), 1e-12)
    return Chance(
        calibration_error=float(np.quantile(np.abs(drawn).sum(axis=1), SURE)) / max(total, 1e-12),
        level=2.81 * float(whole) / expected,  # the normal distribution's 99.5 % on both sides together
    )
