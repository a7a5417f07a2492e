"""What values a column has in the population, for who writes a condition on it."""

import difflib
from dataclasses import dataclass

import numpy as np

from features.definition.file.load import rule_columns
from features.errors import DefinitionError
from features.expressions.values import Texts
from serving.audience.population import Population

#: so many texts are suggested
MOST = 20


@dataclass(frozen=True, slots=True)
class Suggestions:
    """The values of a column.

    Attributes:
        column: its name.
        unknown: how many users have none.
        texts: of a column of text the most frequent values with how many users have each; the most frequent first.
        more: how many other texts there are.
        quartiles: of a numeric column the least value, the quartiles and the largest; None where nobody has one, and of
            text.
    """

    column: str
    unknown: int
    texts: tuple[tuple[str, int], ...]
    more: int
    quartiles: tuple[float, float, float, float, float] | None


def suggestions(population: Population, column: str) -> Suggestions:
    """Say which values a column has.

    Args:
        population: everybody.
        column: that a segment may name.

    Raises:
        DefinitionError: there is no such column.
        StoreError: there is no population, or it cannot be read.
        UnavailableError: its files keep changing.
    """
    columns = rule_columns(population.definition, True)
    if column not in columns:
        near = difflib.get_close_matches(column, columns, n=3, cutoff=0.5) or list(columns)[:12]
        raise DefinitionError(f"there is no column {column!r:.60}.", fix=f"nearest: {', '.join(near)}")
    values = population.view([column]).values[column]
    if isinstance(values, Texts):
        return _of_texts(column, values)
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return Suggestions(column, len(numbers), (), 0, None)
    least, low, middle, high, most = (float(q) for q in np.quantile(known, (0, 0.25, 0.5, 0.75, 1)))
    return Suggestions(column, len(numbers) - len(known), (), 0, (least, low, middle, high, most))


def _of_texts(column: str, values: Texts) -> Suggestions:
    counts = np.bincount(values.codes[values.codes >= 0], minlength=len(values.values))
    found = sorted(((text, n) for text, n in zip(values.values, counts.tolist(), strict=True) if n), key=_first)
    unknown = int(np.count_nonzero(values.codes < 0))
    return Suggestions(column, unknown, tuple(found[:MOST]), max(len(found) - MOST, 0), None)


def _first(found: tuple[str, int]) -> tuple[int, str]:
    """The most frequent first; of equals in the order of the alphabet."""
    return -found[1], found[0]
