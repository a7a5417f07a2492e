"""A model as numbers: its parts, blend and calibration, and how a frame is laid out for them."""

from collections.abc import Mapping
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from features.expressions.values import Texts, texts_of
from serving.model.bg_nbd import BgNbdPart
from serving.model.linear import LinearPart

Floats = NDArray[np.float64]


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


def sigmoid(logit: Floats) -> Floats:
    """The logistic function, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit)))


def model_matrix(rows: pl.DataFrame, features: list[str], categories: dict[str, list[str]]) -> Floats:
    """Lay a frame out as numbers, then category codes (NaN where missing or unknown), ``[rows, columns]``."""
    numbers = rows.select(features).fill_null(float("nan")).to_numpy(order="c")
    return with_codes(numbers, texts_of(rows, categories), categories)


def with_codes(numbers: Floats, traits: Mapping[str, Texts], categories: dict[str, list[str]]) -> Floats:
    """Put category codes after the numbers: the position of the value among the known ones, NaN for others."""
    if not categories:
        return numbers
    codes = np.empty((len(numbers), len(categories)))
    for i, (name, values) in enumerate(categories.items()):
        place = {value: float(code) for code, value in enumerate(values)}
        # the last entry is looked up by -1
        codes[:, i] = np.array([*(place.get(value, np.nan) for value in traits[name].values), np.nan])[
            traits[name].codes
        ]
    return np.hstack([numbers, codes])
