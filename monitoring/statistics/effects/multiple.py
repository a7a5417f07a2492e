"""Several outcomes or slices at once: p-values adjusted for how many there are."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from monitoring.statistics.inputs import Floats, probabilities


def holm(p_values: ArrayLike) -> Floats:
    """Adjust p-values to control the chance of any false finding (Holm 1979, Scandinavian Journal of Statistics 6).

    ``p̃_(i) = max_{j ≤ i} min(1, (m - j + 1) p_(j))``.

    Args:
        p_values: of one test each; NaN is no test: it stays NaN and is not counted.

    Returns:
        In the order given. Those at or below alpha are findings.

    Raises:
        ValueError: one of them lies outside [0, 1].
    """
    return _adjusted(p_values, lambda p: np.maximum.accumulate(p * np.arange(p.size, 0, -1)))


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Adjust p-values to control the share of false findings (Benjamini and Hochberg 1995, JRSS B 57).

    ``p̃_(i) = min_{j ≥ i} min(1, m p_(j) / j)``.

    Args:
        p_values: of one test each; NaN is no test: it stays NaN and is not counted.

    Returns:
        In the order given. Those at or below the rate are findings.

    Raises:
        ValueError: one of them lies outside [0, 1].
    """
    return _adjusted(p_values, lambda p: np.minimum.accumulate((p * p.size / np.arange(1, p.size + 1))[::-1])[::-1])


def _adjusted(p_values: ArrayLike, rule: Callable[[Floats], Floats]) -> Floats:
    """Apply a rule to the p-values that are known, from the lowest up."""
    adjusted = np.array(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(adjusted))
    tests = probabilities(adjusted[known])
    order = np.argsort(tests, kind="stable")
    adjusted[known[order]] = np.minimum(rule(tests[order]), 1.0)
    return adjusted
