"""A model as numbers: regression, blend and calibration, and how a frame is laid out for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from serving.model.bg_nbd import BgNbdPart

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Arrays:
    """The lists of a regression as arrays; compared by identity, so that pydantic compares the lists."""

    center: Floats
    scale: Floats
    flagged: NDArray[np.int64]
    means: Floats
    weights: Floats


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

    def columns(self, matrix: Floats, n_categories: list[int]) -> Floats:
        """Expand a model matrix into this regression's columns."""
        own = self._arrays
        numbers = matrix[:, : own.center.size]
        scaled = (squash(numbers) - own.center) / own.scale
        scaled[np.isnan(numbers)] = 0.0
        return np.hstack([scaled, self._flags(matrix, own.flagged, n_categories) - own.means])

    def flags(self, matrix: Floats, n_categories: list[int]) -> Floats:
        """Flags of what is missing and of each category, 0 or 1."""
        return self._flags(matrix, self._arrays.flagged, n_categories)

    def owners(self, n_categories: list[int]) -> NDArray[np.int64]:
        """The model-matrix column each of this regression's columns comes from."""
        numeric = len(self.center)
        codes = np.repeat(numeric + np.arange(len(n_categories)), n_categories)
        return np.concatenate([np.arange(numeric), np.array(self.flagged, dtype=np.int64), codes])

    def score(self, matrix: Floats, n_categories: list[int]) -> Floats:
        """The regression's score of each row of a model matrix."""
        # a matrix product sums the last rows of a block in another order than the others: an answer would depend
        # on who else is asked about
        columns = np.ascontiguousarray(self.columns(matrix, n_categories))
        return np.asarray(np.einsum("ij,j->i", columns, self._arrays.weights) + self.intercept)

    def change(self, before: Floats, after: Floats, n_categories: list[int]) -> Floats:
        """How the score changes from one matrix to another, in which the same numbers are missing."""
        own = self._arrays
        old, new = before[:, : own.center.size], after[:, : own.center.size]
        row, column = np.nonzero((old < new) | (old > new))
        one, other = (squash(matrix[row, column]) / own.scale[column] for matrix in (old, new))
        steps = np.nan_to_num((other - one) * own.weights[column])
        return np.bincount(row, steps, len(before)).astype(np.float64)

    def terms(self, matrix: Floats, n_categories: list[int]) -> Floats:
        """What each of this regression's columns adds to the score, ``[rows, columns]``."""
        return np.asarray(self.columns(matrix, n_categories) * self._arrays.weights)

    def read(self, n_categories: list[int]) -> NDArray[np.int64]:
        """The model-matrix columns that the score hangs on."""
        return np.asarray(self.owners(n_categories)[self._arrays.weights != 0.0])

    def fits(self, numeric: int, n_categories: list[int]) -> bool:
        """Whether a model of so many numeric columns, and of traits with so many values, can have this part."""
        flags = len(self.flagged) + sum(n_categories)
        lengths = (len(self.center), len(self.scale), len(self.flag_means), len(self.weights))
        inside = all(0 <= place < numeric for place in self.flagged)
        return lengths == (numeric, numeric, flags, numeric + flags) and inside

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy, with other values where some are given; the arrays are those of the copy."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("_arrays", None)
        return copied

    @cached_property
    def _arrays(self) -> _Arrays:
        lists = (self.center, self.scale, self.flagged, self.flag_means, self.weights)
        center, scale, flagged, means, weights = (np.array(numbers) for numbers in lists)
        return _Arrays(center, scale, flagged.astype(np.int64), means, weights)

    def _flags(self, matrix: Floats, flagged: NDArray[np.int64], n_categories: list[int]) -> Floats:
        parts = [np.isnan(matrix[:, flagged]).astype(np.float64)]
        for i, n in enumerate(n_categories):
            parts.append((matrix[:, len(self.center) + i, None] == np.arange(n)).astype(np.float64))
        return np.hstack(parts)


class Calibration(BaseModel):
    """From the blended score to the answer.

    A probability, ``p = 1 / (1 + exp(-(slope * score + offset)))``; where ``logits`` and ``probabilities`` are given,
    the lines between those points instead (isotonic). Or an amount, ``exp(slope * score + offset)``, and never more
    than ``most``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float
    offset: float
    logits: list[float] = []
    probabilities: list[float] = []
    most: float | None = None

    @property
    def method(self) -> str:
        """``platt``, ``isotonic`` or ``log_linear``."""
        return "log_linear" if self.most is not None else "isotonic" if self.logits else "platt"

    def apply(self, scores: Floats) -> Floats:
        """Turn blended scores into probabilities or amounts."""
        if self.most is not None:
            return np.exp(np.minimum(self.slope * scores + self.offset, np.log(self.most)))
        if self.logits:
            return np.interp(scores, self.logits, self.probabilities)
        return sigmoid(self.slope * scores + self.offset)


class Numbers(BaseModel):
    """Everything of a model but the booster and the card: ``score = weight * booster + (1 - weight) * part``.

    The score is a logit, or the logarithm of an amount. The part is a regression or BG/NBD.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    linear: LinearPart | None = None
    bg_nbd: BgNbdPart | None = None
    weight: float
    calibration: Calibration

    @classmethod
    def of(cls, part: LinearPart | BgNbdPart, weight: float, calibration: Calibration) -> "Numbers":
        """Put a model's numbers together."""
        if isinstance(part, LinearPart):
            return cls(linear=part, weight=weight, calibration=calibration)
        return cls(bg_nbd=part, weight=weight, calibration=calibration)

    @property
    def part(self) -> LinearPart | BgNbdPart:
        """What answers beside the booster, or alone."""
        found = self.linear or self.bg_nbd
        if found is None:
            raise ValueError("neither 'linear' nor 'bg_nbd'")
        return found

    def to_json(self) -> str:
        """What `model_validate_json` reads, without the key of the part that there is not."""
        return self.model_dump_json(exclude={"bg_nbd" if self.bg_nbd is None else "linear"})

    @model_validator(mode="after")
    def _one_part(self) -> Self:
        if (self.linear is None) == (self.bg_nbd is None):
            raise ValueError("exactly one of 'linear' and 'bg_nbd' is needed")
        return self


def squash(values: Floats) -> Floats:
    """``sign(x) log(1 + |x|)``."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))


def sigmoid(logit: Floats) -> Floats:
    """The logistic function, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit)))


def model_matrix(rows: pl.DataFrame, features: list[str], categories: dict[str, list[str]]) -> Floats:
    """Lay a frame out as numbers, then category codes (NaN where missing or unknown), ``[rows, columns]``."""
    numbers = rows.select(features).fill_null(float("nan")).to_numpy(order="c")
    return with_codes(numbers, rows, categories)


def with_codes(numbers: Floats, traits: pl.DataFrame, categories: dict[str, list[str]]) -> Floats:
    """Put category codes after the numbers: the position of the value among the known ones, NaN for others."""
    if not categories:
        return numbers
    codes = np.empty((len(numbers), len(categories)))
    for i, (name, values) in enumerate(categories.items()):
        place = {value: float(code) for code, value in enumerate(values)}
        codes[:, i] = [place.get(value, np.nan) for value in traits[name].to_list()]
    return np.hstack([numbers, codes])
