"""How well amounts are predicted: in order, in sum, and tenth by tenth."""

from dataclasses import dataclass
from typing import ClassVar

import numba as nb
import numpy as np
from numpy.typing import NDArray

from features.system.compiled import of_any_arrays
from training.evaluation.metrics import BINS, TOPS, Floats, ordered
from training.fitting.objective import POWER

AMOUNT_METRICS = (
    "normalised_gini", *(f"value_at_{round(top * 100)}" for top in TOPS), "observed_over_expected",
    "calibration_error", "deviance", "mean_absolute_error",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AmountRanking:
    """A model's amounts over rows, computed once for all resamples.

    What is measured: ``normalised_gini``, the Gini coefficient of what came in the order of the predictions over that
    in the best possible order, ties taken together; ``value_at_10``, the share of all value that the top tenth brings;
    ``observed_over_expected``, of the totals; ``calibration_error``, the mean gap of predicted and observed means over
    ten equal-mass bins, over the mean; ``deviance``, of the Tweedie family, for a hundredth of the mean where less is
    predicted; ``mean_absolute_error``.

    Attributes:
        order: rows from the highest prediction down.
        last: whether a row of the order is the last of those with an equal prediction.
        bin: equal-mass bin of each row.
        amount: what is predicted.
        terms: what the deviance is made of: of each row, and of each row by what came true.
        best: rows from the highest amount that came true down.
    """

    METRICS: ClassVar[tuple[str, ...]] = AMOUNT_METRICS
    RELATIVE: ClassVar[bool] = True

    order: NDArray[np.int64]
    last: NDArray[np.bool_]
    bin: NDArray[np.int64]
    amount: Floats
    terms: tuple[Floats, Floats]
    best: NDArray[np.int64]

    @classmethod
    def of(cls, amount: Floats, best: NDArray[np.int64]) -> "AmountRanking":
        """Rank rows by an amount."""
        # an amount of 0 that is wrong must not cost infinity
        predicted = np.maximum(amount, 0.01 * max(amount.mean(), 1e-9))
        terms = (predicted ** (2 - POWER) / (2 - POWER), predicted ** (1 - POWER) / (1 - POWER))
        return cls(*ordered(amount), amount, terms, best)

    @property
    def answers(self) -> Floats:
        """The amount."""
        return self.amount

    @staticmethod
    def can_tell(labels: Floats, weights: Floats) -> bool:
        """Whether anything was worth anything, and not all the same."""
        some = labels[weights > 0]
        return bool(some.size and some.max() > max(0.0, some.min()))

    def measure(self, labels: Floats, weights: Floats) -> Floats:
        """The `AMOUNT_METRICS`, in their order."""
        total, mean, expected, gaps, deviance, off = _sums(self.bin, self.amount, *self.terms, labels, weights)
        w, came = weights / total, weights * labels / total
        area, shares = _gains(self.order, self.last, came, w, np.array(TOPS))
        best, _ = _gains(self.best, np.ones(len(w), dtype=np.bool_), came, w, np.array(TOPS))
        gini = area / best if best > 0 else np.nan  # all alike: there is no order
        return np.array([gini, *shares, mean / max(expected, 1e-12 * mean), gaps / mean, deviance, off])


@of_any_arrays
@nb.njit(cache=True, nogil=True, error_model="numpy")
def _sums(
    bins: NDArray[np.int64], amount: Floats, by_row: Floats, by_came: Floats, labels: Floats, weights: Floats
) -> tuple[float, float, float, float, float, float]:
    """The weight, and means: of what came, of what was expected, of the bins' gaps, of the deviance, of how far off.

    In one pass and one thread: resamples are measured side by side, and threads of linear algebra wait for one another.
    """
    total = came = expected = deviance = off = 0.0
    gaps = np.zeros(BINS)
    for row in range(bins.size):
        w, y, a = weights[row], labels[row], amount[row]
        total += w
        came += w * y
        expected += w * a
        gaps[bins[row]] += w * (a - y)
        deviance += w * (by_row[row] - y * by_came[row])
        off += w * abs(a - y)
    return total, came / total, expected / total, np.abs(gaps).sum() / total, deviance / total, off / total


@of_any_arrays
@nb.njit(cache=True, nogil=True, error_model="numpy")
def _gains(
    order: NDArray[np.int64], last: NDArray[np.bool_], came: Floats, weights: Floats, tops: Floats
) -> tuple[float, Floats]:
    """Area between the curve of value reached and the diagonal, and the share reached by the top shares of users."""
    total = came.sum()
    seen = got = seen_before = got_before = area = 0.0
    shares = np.ones(tops.size)
    top = 0
    for place in range(order.size):
        row = order[place]
        seen += weights[row]
        got += came[row] / total
        while top < tops.size and seen >= tops[top] - 1e-9:
            shares[top] = got
            top += 1
        if last[place]:
            area += (seen - seen_before) * (got + got_before) / 2.0
            seen_before, got_before = seen, got
    return area - 0.5, shares
