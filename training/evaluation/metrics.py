"""Metrics of probabilities: how well they rank, and how well they are calibrated."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numba as nb
import numpy as np
from numpy.typing import NDArray

from features.system.compiled import of_any_arrays

Floats = NDArray[np.float64]

TOPS = (0.01, 0.05, 0.10, 0.20)
BINS = 10
METRICS = (
    "average_precision", "auc", "log_loss", "brier", "calibration_error", "observed_over_expected",
    *(f"lift_at_{round(top * 100)}" for top in TOPS), *(f"recall_at_{round(top * 100)}" for top in TOPS),
)  # fmt: skip


class Ranked(Protocol):
    """A model's answers on rows, ready to be measured on resamples of them."""

    #: names of what is measured
    METRICS: ClassVar[tuple[str, ...]]
    #: whether the calibration error is relative to the total that came true
    RELATIVE: ClassVar[bool]

    @property
    def bin(self) -> NDArray[np.int64]:
        """Equal-mass bin of each row, from 0 on."""
        ...

    @property
    def answers(self) -> Floats:
        """The prediction of each row."""
        ...

    @staticmethod
    def can_tell(labels: Floats, weights: Floats) -> bool:
        """Whether the labels of a resample differ at all."""
        ...

    def measure(self, labels: Floats, weights: Floats) -> Floats:
        """The `METRICS`, in their order."""
        ...


Rank = Callable[[Floats], Ranked]


@dataclass(frozen=True, slots=True)
class Ranking:
    """A probability's order over rows, computed once for all resamples.

    Attributes:
        order: rows from the highest score down.
        last: whether a row of the order is the last of those with an equal score.
        bin: equal-mass bin of each row, for the calibration error.
        probability: the score.
        losses: log loss of each row, were its label 0 and were it 1.
    """

    METRICS: ClassVar[tuple[str, ...]] = METRICS
    RELATIVE: ClassVar[bool] = False

    order: NDArray[np.int64]
    last: NDArray[np.bool_]
    bin: NDArray[np.int64]
    probability: Floats
    losses: Floats

    @classmethod
    def of(cls, probability: Floats) -> "Ranking":
        """Rank rows by a probability."""
        return cls(*ordered(probability), probability, _losses(probability))

    @property
    def answers(self) -> Floats:
        """The probability."""
        return self.probability

    @staticmethod
    def can_tell(labels: Floats, weights: Floats) -> bool:
        """Whether there are both."""
        return bool(0 < np.sum(weights * labels) < np.sum(weights))

    def measure(self, labels: Floats, weights: Floats) -> Floats:
        """The `METRICS` of the score, in their order."""
        return np.asarray(
            _measure(self.order, self.last, self.bin, self.probability, self.losses, labels, weights, np.array(TOPS))
        )


def ordered(score: Floats) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Rows from the highest score down, whether one is the last of equal scores there, and each row's tenth."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    edges = np.quantile(score, np.linspace(0, 1, BINS + 1)[1:-1])
    return order, np.append(ranked[1:] != ranked[:-1], True), np.searchsorted(edges, score, side="right")


@of_any_arrays
@nb.njit(cache=True, nogil=True, error_model="numpy")
def _losses(probability: Floats) -> Floats:
    """Log loss of each row, ``[label, rows]``: logarithms are taken once, not for each resample."""
    answer = np.empty((2, probability.size))
    for row in range(probability.size):
        clipped = min(max(probability[row], 1e-9), 1.0 - 1e-9)
        answer[0, row], answer[1, row] = -np.log(1.0 - clipped), -np.log(clipped)
    return answer


@of_any_arrays
@nb.njit(cache=True, nogil=True, error_model="numpy")
def _measure(
    order: NDArray[np.int64], last: NDArray[np.bool_], bins: NDArray[np.int64], probability: Floats, losses: Floats,
    labels: Floats, weights: Floats, tops: Floats,
) -> Floats:  # fmt: skip
    """All metrics in two passes over the rows."""
    total, positives, expected, loss, brier, gap = _level(bins, probability, losses, labels, weights)
    precision, area, lifts, recalls = _ranked(order, last, labels, weights, tops, total, positives)
    answer = np.empty(6 + 2 * tops.size)
    answer[0] = precision / positives
    answer[1] = area / (positives * (total - positives))
    answer[2] = loss / total
    answer[3] = brier / total
    answer[4] = gap / total
    answer[5] = positives / expected
    for top in range(tops.size):  # one by one: an assignment of arrays is compiled with words for other shapes
        answer[6 + top], answer[6 + tops.size + top] = lifts[top], recalls[top]
    return answer


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _level(
    bins: NDArray[np.int64], probability: Floats, losses: Floats, labels: Floats, weights: Floats
) -> tuple[float, float, float, float, float, float]:
    """Sums over the rows: weight, positives, expected positives, log loss, Brier loss, and the bins' absolute gaps."""
    total = positives = expected = loss = brier = 0.0
    gaps = np.zeros(BINS)
    for row in range(bins.size):
        w, y, p = weights[row], labels[row], probability[row]
        if w == 0.0:
            continue
        total += w
        positives += w * y
        expected += w * p
        loss += w * losses[1 if y == 1.0 else 0, row]
        brier += w * (y - p) ** 2
        gaps[bins[row]] += w * (p - y)
    return total, positives, expected, loss, brier, np.abs(gaps).sum()


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _ranked(
    order: NDArray[np.int64], last: NDArray[np.bool_], labels: Floats, weights: Floats, tops: Floats, total: float,
    positives: float,
) -> tuple[float, float, Floats, Floats]:  # fmt: skip
    """From the highest score down: the sum of precisions, the area, and lifts and recalls of the top shares."""
    seen = found = seen_before = found_before = area = precision = 0.0
    lifts, recalls = np.empty(tops.size), np.empty(tops.size)
    top = 0
    for place in range(order.size):
        row = order[place]
        seen += weights[row]
        found += weights[row] * labels[row]
        while top < tops.size and seen >= tops[top] * total:
            lifts[top], recalls[top] = found / seen / (positives / total), found / positives
            top += 1
        if last[place]:  # tied scores are taken together
            if seen > 0.0:
                precision += (found - found_before) * found / seen
            area += ((seen - found) - (seen_before - found_before)) * (found + found_before) / 2.0
            seen_before, found_before = seen, found
    lifts[top:], recalls[top:] = 1.0, 1.0
    return precision, area, lifts, recalls


def metrics(ranking: Ranking, labels: Floats, weights: Floats) -> dict[str, float]:
    """Weighted metrics of a probability.

    Average precision and AUC take tied scores together; ``lift_at_10`` is the precision of the top tenth over the base
    rate, ``recall_at_10`` its share of all positives (ties broken by row order); ``calibration_error`` is the mean gap
    between predicted and observed rate over ten equal-mass bins.
    """
    return dict(zip(METRICS, ranking.measure(labels, weights).tolist(), strict=True))
