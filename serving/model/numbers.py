"""A model as numbers: its parts, blend and calibration, and how a frame is laid out for them."""

from collections.abc import Mapping
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from features.expressions.values import Texts, texts_of
from serving.model.bg_nbd import BgNbdPart
from serving.model.linear import LinearPart

Floats = NDArray[np.float64]


#: probabilities are kept this far from 0 and 1 where their logit is taken
_CERTAIN = 1e-15


class Recalibration(BaseModel):
    """From calibrated answers to those that newer labels ask for; it keeps their order.

    Attributes:
        slope: of the logit of a probability, above 0.
        offset: what is added to it then.
        scale: of amounts instead, the factor, above 0; None of probabilities.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    offset: float = Field(default=0.0, allow_inf_nan=False)
    scale: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def apply(self, answers: Floats) -> Floats:
        """Move probabilities or amounts."""
        if self.scale is not None:
            return np.asarray(answers * self.scale)
        near = np.clip(answers, _CERTAIN, 1 - _CERTAIN)
        return sigmoid(self.slope * (np.log(near) - np.log1p(-near)) + self.offset)

    def after(self, earlier: "Recalibration | None") -> "Recalibration":
        """This one of what an earlier one has moved, as one."""
        if earlier is None:
            return self
        if self.scale is not None:
            return Recalibration(scale=self.scale * (earlier.scale or 1.0))
        return Recalibration(slope=self.slope * earlier.slope, offset=self.slope * earlier.offset + self.offset)


class Calibration(BaseModel):
    """From the blended score to the answer.

    A probability, ``p = 1 / (1 + exp(-(slope * score + offset)))``; where ``logits`` and ``probabilities`` are given,
    the lines between those points instead (isotonic). Or an amount, ``exp(slope * score + offset)``, and never more
    than ``most``. ``moved`` is what newer labels have changed since; None where the model was not recalibrated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float
    offset: float
    logits: list[float] = []
    probabilities: list[float] = []
    most: float | None = None
    moved: Recalibration | None = None

    @property
    def steepness(self) -> float:
        """How much the answer's logit, or its logarithm, changes with the score."""
        return self.slope if self.moved is None else self.slope * self.moved.slope

    @property
    def method(self) -> str:
        """``platt``, ``isotonic`` or ``log_linear``."""
        return "log_linear" if self.most is not None else "isotonic" if self.logits else "platt"

    def apply(self, scores: Floats) -> Floats:
        """Turn blended scores into probabilities or amounts."""
        answers = self._fitted(scores)
        return answers if self.moved is None else self.moved.apply(answers)

    def _fitted(self, scores: Floats) -> Floats:
        """The same as it was fitted first."""
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
        absent: dict[str, bool | dict[str, bool]] = {"bg_nbd" if self.bg_nbd is None else "linear": True}
        if self.calibration.moved is None:  # models that were not recalibrated keep their files
            absent["calibration"] = {"moved": True}
        return self.model_dump_json(exclude=absent)

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
