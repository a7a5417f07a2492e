"""Whether as many users are in each arm as were planned: if not, the read-out cannot be trusted."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from monitoring.statistics.inputs import inside, numbers, same_length

#: the chi-square approximation needs as many expected users in each arm (Cochran 1954, Biometrics 10)
FEWEST = 5


@dataclass(frozen=True, slots=True)
class Balance:
    """The sample-ratio check of an experiment.

    Attributes:
        chi_square: of the counts against the plan.
        p_value: of counts at least as far from the plan, by chance alone.
        stop: whether the assignment is broken. Never where an arm expects fewer than 5 users.
    """

    chi_square: float
    p_value: float
    stop: bool


def balance(counts: ArrayLike, shares: ArrayLike, *, limit: float = 0.001) -> Balance:
    """Check counts against planned shares.

    Args:
        counts: users assigned to each arm.
        shares: planned for each arm, above 0; they add up to 1.
        limit: a p-value below it stops the read-out.

    Returns:
        NaN and no stop where there are no users.

    Raises:
        ValueError: fewer than two arms, a count below 0, a share that is not above 0, shares that do not add up to 1,
            or lengths that differ.
    """
    planned = numbers("shares", shares)
    found = same_length("counts", numbers("counts", counts), planned.size)
    if planned.size < 2:
        raise ValueError(f"the plan has {planned.size} arms; it takes at least 2")
    if (found < 0).any():
        raise ValueError(f"counts hold {found.min():g}; they must be 0 or more")
    if (planned <= 0).any() or not math.isclose(planned.sum(), 1, abs_tol=1e-6):
        raise ValueError(f"shares are {planned.tolist()}; they must be above 0 and add up to 1")
    inside("the limit", limit)
    expected = planned * found.sum()
    if not expected.sum():
        return Balance(math.nan, math.nan, stop=False)
    statistic = float(np.sum((found - expected) ** 2 / expected))
    p_value = float(chdtrc(planned.size - 1, statistic))
    return Balance(statistic, p_value, stop=bool(p_value < limit and expected.min() >= FEWEST))
