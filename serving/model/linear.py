"""A regression: as the numbers that are kept, and as the arrays that score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A regression over a model matrix.

    Attributes:
        center, scale: of each numeric column.
        flagged: the numeric columns with a flag where they are missing, each once.
        means: of the flags.
        weights: of the columns, flags last.
        intercept: the score of the average user.
        sizes: how many categories each trait has.
        owners: the model-matrix column each of this regression's columns comes from.
    """

    center: Floats
    scale: Floats
    flagged: Ints
    means: Floats
    weights: Floats
    intercept: float
    sizes: tuple[int, ...]
    owners: Ints

    @property
    def read(self) -> Ints:
        """The model-matrix columns that the score hangs on."""
        return np.asarray(self.owners[self.weights != 0.0])

    def columns(self, matrix: Floats) -> Floats:
        """Expand a model matrix into this regression's columns."""
        numbers = matrix[:, : self.center.size]
        scaled = (squash(numbers) - self.center) / self.scale
        scaled[np.isnan(numbers)] = 0.0
        return np.hstack([scaled, self.flags(matrix) - self.means])

    def flags(self, matrix: Floats) -> Floats:
        """Flags of what is missing and of each category, 0 or 1."""
        parts = [np.isnan(matrix[:, self.flagged]).astype(np.float64)]
        for i, size in enumerate(self.sizes):
            parts.append((matrix[:, self.center.size + i, None] == np.arange(size)).astype(np.float64))
        return np.hstack(parts)

    def score(self, matrix: Floats) -> Floats:
        """The score of each row of a model matrix."""
        # a matrix product sums the last rows of a block in another order than the others: an answer would depend
        # on who else is asked about
        columns = np.ascontiguousarray(self.columns(matrix))
        return np.asarray(np.einsum("ij,j->i", columns, self.weights) + self.intercept)

    def change(self, before: Floats, after: Floats) -> Floats:
        """How the score changes from one matrix to another, in which the same numbers are missing."""
        old, new = before[:, : self.center.size], after[:, : self.center.size]
        row, column = np.nonzero((old < new) | (old > new))
        one, other = (squash(matrix[row, column]) / self.scale[column] for matrix in (old, new))
        steps = np.nan_to_num((other - one) * self.weights[column])
        return np.bincount(row, steps, len(before)).astype(np.float64)

    def effects(self, matrix: Floats) -> Floats:
        """What each column of a model matrix adds to the score, ``[rows, columns]``."""
        terms, numeric = self.columns(matrix) * self.weights, self.center.size
        effects = np.empty((len(matrix), numeric + len(self.sizes)))
        effects[:, :numeric] = terms[:, :numeric]
        at = numeric + self.flagged.size
        effects[:, self.flagged] += terms[:, numeric:at]
        for i, size in enumerate(self.sizes):
            effects[:, numeric + i] = terms[:, at : at + size].sum(axis=1)
            at += size
        return effects


class LinearPart(BaseModel):
    """A regression as numbers.

    A numeric column becomes ``sign(x) log(1 + |x|)``, standardised, 0 where missing, and a flag where it may be
    missing; a trait becomes a flag a category. Flags have their mean taken off, so that a term is an effect against
    the average user.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    center: list[float]
    scale: list[float]
    flagged: list[int]
    flag_means: list[float]
    weights: list[float]
    intercept: float

    def over(self, sizes: Sequence[int]) -> Linear:
        """This regression over a model matrix with traits of so many categories."""
        numeric = len(self.center)
        flagged = np.array(self.flagged, dtype=np.int64)
        codes = np.repeat(numeric + np.arange(len(sizes)), np.array(sizes, dtype=np.int64))
        return Linear(
            center=np.array(self.center),
            scale=np.array(self.scale),
            flagged=flagged,
            means=np.array(self.flag_means),
            weights=np.array(self.weights),
            intercept=self.intercept,
            sizes=tuple(sizes),
            owners=np.concatenate([np.arange(numeric), flagged, codes]),
        )

    def fits(self, numeric: int, sizes: Sequence[int]) -> bool:
        """Whether a model of so many numeric columns, and of traits with so many values, can have this part."""
        flags = len(self.flagged) + sum(sizes)
        lengths = (len(self.center), len(self.scale), len(self.flag_means), len(self.weights))
        inside = all(0 <= place < numeric for place in self.flagged)
        return lengths == (numeric, numeric, flags, numeric + flags) and inside


def squash(values: Floats) -> Floats:
    """``sign(x) log(1 + |x|)``."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))
