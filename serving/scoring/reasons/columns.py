"""Reasons and changes of many rows, as columns: lists of lists of models take ten times as long as the effects."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from pydantic_core import to_json

from features.expressions.values import Numbers, Texts
from features.rows import INSTANT
from serving.scoring.record import Change, Move, Reason

#: a reason as the records of a batch hold it; the text has a trait's value
REASON = pl.Struct({"feature": pl.String, "value": pl.Float64, "effect": pl.Float64, "text": pl.String})
MOVE = pl.Struct({**dict(REASON), "before": pl.Float64})
CHANGE = pl.Struct({"since": INSTANT, "probability": pl.Float64, "model": pl.String, "moved": pl.List(MOVE)})


@dataclass(frozen=True, slots=True)
class Reasons:
    """Columns and their effects, in words, row after row.

    Attributes:
        counts: how many each row has.
        features: names of the columns.
        values: their values; NaN where there is none, and of traits.
        named: the values of traits.
        effects: what they add, to four digits.
        texts: in words.
    """

    counts: NDArray[np.int64]
    features: Texts
    values: Numbers
    named: Texts
    effects: Numbers
    texts: Texts

    def lists(self) -> list[list[Reason]]:
        """As models, a list a row."""
        return [[Reason.model_construct(**fields) for fields in row] for row in _split(self.counts, self._each())]

    def json(self) -> list[str]:
        """As JSON, a list a row: what `lists` would be written as, in a tenth of the time."""
        heads = [f'{{"feature":{_json(name)},"value":' for name in self.features.values]
        tails = [f',"text":{_json(text)}}}' for text in self.texts.values]
        values, effects = _each_json(self.values), _each_json(self.effects)
        for at in np.flatnonzero(self.named.codes >= 0).tolist():
            values[at] = _json(self.named.at(at))
        each = [
            f'{heads[feature]}{value},"effect":{effect}{tails[text]}'
            for feature, value, effect, text in zip(
                self.features.codes.tolist(), values, effects, self.texts.codes.tolist(), strict=True
            )
        ]
        return [f"[{','.join(each[lo:hi])}]" for lo, hi in pairwise([0, *np.cumsum(self.counts).tolist()])]

    def series(self) -> pl.Series:
        """As a column of a batch."""
        return _lists(self.counts, self._arrays(), REASON)

    def _each(self) -> Iterator[dict[str, Any]]:
        """The fields of each."""
        values = [None if value != value else value for value in self.values.tolist()]
        for feature, value, name, effect, text in zip(
            self.features.to_list(), values, self.named.to_list(), self.effects.tolist(), self.texts.to_list(),
            strict=True,
        ):  # fmt: skip
            yield {"feature": feature, "value": value if name is None else name, "effect": effect, "text": text}

    def _arrays(self) -> dict[str, pa.Array]:
        return {
            "feature": _texts(self.features),
            "value": pa.array(self.values, mask=np.isnan(self.values)),
            "effect": pa.array(self.effects),
            "text": _texts(self.texts),
        }


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since earlier scores.

    Attributes:
        since: the instant of the earlier scores.
        there: which rows had earlier scores.
        probability: the earlier probability; NaN where there was none.
        model: the model that gave it.
        moved: the earlier reasons, as they are now; their effects are now's less those of then.
        before: the earlier values of what moved; NaN where there was none.
    """

    since: datetime
    there: NDArray[np.bool_]
    probability: Numbers
    model: Texts
    moved: Reasons
    before: Numbers

    def lists(self) -> list[Change | None]:
        """As models, one a row; None where there are no earlier scores."""
        before = (None if value != value else value for value in self.before.tolist())
        fields = ({**one, "before": then} for one, then in zip(self.moved._each(), before, strict=True))
        rows = zip(
            self.there.tolist(), self.probability.tolist(), self.model.to_list(), _split(self.moved.counts, fields),
            strict=True,
        )  # fmt: skip
        return [
            Change.model_construct(
                since=self.since, probability=None if p != p else p, model=model,
                moved=[Move.model_construct(**move) for move in moves],
            ) if there else None
            for there, p, model, moves in rows
        ]  # fmt: skip

    def series(self) -> pl.Series:
        """As a column of a batch."""
        arrays = {**self.moved._arrays(), "before": pa.array(self.before, mask=np.isnan(self.before))}
        columns = pl.DataFrame(
            {
                "there": self.there,
                "since": pl.repeat(self.since, len(self.there), dtype=INSTANT, eager=True),
                "probability": pl.Series(self.probability, nan_to_null=True),
                "model": self.model.to_series(),
                "moved": _lists(self.moved.counts, arrays, MOVE),
            }
        )
        whole = pl.struct("since", "probability", "model", "moved")
        return columns.select(pl.when("there").then(whole)).to_series().cast(CHANGE)


def _split(counts: NDArray[np.int64], items: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Deal items out to rows."""
    for count in counts.tolist():
        yield [next(items) for _ in range(count)]


def _json(value: object) -> str:
    """As models are written; a number that is none is null."""
    return to_json(value, inf_nan_mode="null").decode()


def _each_json(numbers: Numbers) -> list[str]:
    return _json(numbers.tolist())[1:-1].split(",") if numbers.size else []


def _texts(texts: Texts) -> pa.Array:
    return pa.array(texts.values, pa.large_string()).take(pa.array(texts.codes, mask=texts.codes < 0))


def _lists(counts: NDArray[np.int64], arrays: dict[str, pa.Array], kind: pl.Struct) -> pl.Series:
    """Lists of structs, from one Arrow array: structs of Polars cost sixty times as much."""
    structs = pa.StructArray.from_arrays(list(arrays.values()), names=list(arrays))
    ends = pa.array(np.append(0, np.cumsum(counts)))
    return pl.Series(pa.LargeListArray.from_arrays(ends, structs)).cast(pl.List(kind))
