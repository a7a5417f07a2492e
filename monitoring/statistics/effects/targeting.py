"""Whether a ranking finds the users who are moved by acting: targeting curve, AUTOC and Qini, doubly robust."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monitoring.statistics.effects.effect import Estimate
from monitoring.statistics.inputs import Floats, labels, numbers, same_length

#: half-samples for the standard errors
HALVES = 400


@dataclass(frozen=True, slots=True)
class Targeting:
    """A ranking, judged on users of an experiment.

    The targeting operator characteristic at ``q`` is the mean effect on the top ``q`` of the users less that on all
    (Yadlowsky et al. 2021, arXiv:2111.07966).

    Attributes:
        autoc: its area, ``∫ TOC(q) dq``: 0 where the ranking tells nothing of the effect.
        qini: ``∫ q TOC(q) dq``, not divided by that of a perfect ranking.
        mean: the mean effect on all users.
        curve: ``TOC`` at tenths of the users, 0.1 to 1.
    """

    autoc: Estimate
    qini: Estimate
    mean: float
    curve: Floats


def doubly_robust(
    outcomes: ArrayLike, treated: ArrayLike, control: ArrayLike, acted: ArrayLike, share: float
) -> Floats:
    """Each user's effect, unbiased whatever the predictions, because the assignment is known.

    ``Γ = μ₁ - μ₀ + (T - e) / (e (1 - e)) · (Y - μ_T)``.

    Args:
        outcomes: ``Y`` of each user.
        treated: ``T``, 1 for who was assigned to the treated arm.
        control: ``μ₀``, what a model that has not seen the user predicts without acting.
        acted: ``μ₁``, the same with acting.
        share: ``e``, the planned share of the treated arm.

    Raises:
        ValueError: lengths differ, values are NaN, flags are neither 0 nor 1, or the share is not between 0 and 1.
    """
    y = numbers("outcomes", outcomes)
    t = labels(treated, y.size)
    low = same_length("predictions without acting", numbers("predictions without acting", control), y.size)
    high = same_length("predictions with acting", numbers("predictions with acting", acted), y.size)
    if not 0 < share < 1:
        raise ValueError(f"the treated share is {share:g}; it must be between 0 and 1")
    return high - low + (t - share) / (share * (1 - share)) * (y - np.where(t == 1, high, low))


def targeting(effects: ArrayLike, priorities: ArrayLike, *, seed: int = 0, confidence: float = 0.95) -> Targeting:
    """Judge a ranking.

    Users of one priority share their mean effect, so that their order tells nothing. Standard errors are those of half
    of the users, drawn again and again without replacement.

    Args:
        effects: of each user, as `doubly_robust` makes them, positive where acting does what is wanted.
        priorities: of the same users, the highest first to be acted on, by a model that has not seen them.
        seed: of the half-samples.
        confidence: of the intervals.

    Raises:
        ValueError: fewer than 20 users, lengths differ, or values are NaN.
    """
    gamma, found = numbers("effects", effects), numbers("priorities", priorities)
    rank = same_length("priorities", found, gamma.size)
    if gamma.size < 20:
        raise ValueError(f"there are {gamma.size} users; it takes at least 20 to judge a ranking")
    order = np.argsort(-rank, kind="stable")
    gamma, runs = gamma[order], np.cumsum(np.diff(rank[order], prepend=np.inf) != 0)
    autoc, qini = _areas(gamma, runs)
    random, drawn = np.random.default_rng(seed), []
    for _ in range(HALVES):
        half = np.sort(random.permutation(gamma.size)[: gamma.size // 2])
        drawn.append(_areas(gamma[half], runs[half]))
    errors = np.std(np.array(drawn), axis=0, ddof=1)
    at = -(-np.arange(1, 11) * gamma.size // 10) - 1
    curve = _curve(gamma, runs)[at]
    return Targeting(
        Estimate.of(autoc, float(errors[0]), confidence), Estimate.of(qini, float(errors[1]), confidence),
        float(gamma.mean()), curve,
    )  # fmt: skip


def _areas(gamma: Floats, runs: NDArray[np.int64]) -> tuple[float, float]:
    """AUTOC and Qini of effects in the order of their priority."""
    curve = _curve(gamma, runs)
    return float(curve.mean()), float((curve * np.arange(1, gamma.size + 1)).mean() / gamma.size)


def _curve(gamma: Floats, runs: NDArray[np.int64]) -> Floats:
    """The targeting curve at each user; those of a run of one priority share their mean effect."""
    sizes = np.bincount(runs)
    means = np.bincount(runs, gamma) / np.maximum(sizes, 1)
    found: Floats = np.cumsum(means[runs]) / np.arange(1, gamma.size + 1) - gamma.mean()
    return found
