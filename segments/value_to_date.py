"""What users have been worth so far: in all, an order, and how often."""

import numpy as np
from numpy.typing import NDArray

from features.definition.columns import feature_set, occasions
from features.definition.names import VALUE_TO_DATE_COLUMNS
from features.definition.schema import Definition

#: value in all, value of an order, days between two days with one
VALUE_TO_DATE = VALUE_TO_DATE_COLUMNS


class ValueToDate:
    """The historic value of users: of the definition's money, see `Definition.money`.

    Where the money has refunds, only orders that stand are counted.

    Args:
        definition: the definition.
    """

    def __init__(self, definition: Definition) -> None:
        money, numeric = definition.money, feature_set(definition).numeric
        often = occasions(money, numeric) if money else None
        names = (f"{money}_value_total", often.times, often.every) if often else ()
        self._at = [numeric.index(name) for name in names]

    def of(self, matrix: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """The columns `VALUE_TO_DATE` of a matrix of feature rows, NaN where there is nothing to say."""
        if not self._at:
            return {name: np.full(len(matrix), np.nan) for name in VALUE_TO_DATE}
        total, times, every = (matrix[:, i] for i in self._at)
        with np.errstate(invalid="ignore", divide="ignore"):
            average = np.where(times > 0, total / times, np.nan)
        return dict(zip(VALUE_TO_DATE, (total, average, every), strict=True))
