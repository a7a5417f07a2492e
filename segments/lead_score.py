"""Lead scores: points by hand, each with what it was given for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features.definition.sections.lead_score import LeadScore
from features.expressions.program import Program
from features.expressions.values import Numbers, Value

#: what one line of a lead score gave
LINE = pl.Struct({"what": pl.String, "times": pl.Float64, "points": pl.Float64})


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a lead score that gave points, a list a row.

    Attributes:
        words: what each line is for.
        points: of each line, ``[rows, lines]``.
        times: how often it was earned, NaN for a predicate.
    """

    words: list[str]
    points: NDArray[np.float64]
    times: NDArray[np.float64]

    @property
    def _gave(self) -> NDArray[np.bool_]:
        gave: NDArray[np.bool_] = (self.points != 0) & ~np.isnan(self.points)
        return gave

    def to_list(self) -> list[list[dict[str, Any]]]:
        """As dictionaries."""
        return [
            [
                {"what": self.words[i], "times": None if times[i] != times[i] else times[i], "points": points[i]}
                for i in np.flatnonzero(gave).tolist()
            ]
            for points, times, gave in zip(self.points.tolist(), self.times.tolist(), self._gave, strict=True)
        ]

    def to_series(self) -> pl.Series:
        """As a column, from one Arrow array: structs of Polars, most of them null, cost sixty times as much."""
        gave = self._gave
        places = np.flatnonzero(gave)
        times = self.times.ravel()[places]
        parts = {
            "what": pa.array(self.words, pa.large_string()).take(pa.array(places % len(self.words))),
            "times": pa.array(times, mask=np.isnan(times)),
            "points": pa.array(self.points.ravel()[places]),
        }
        ends = np.append(0, np.cumsum(gave.sum(axis=1, dtype=np.int64)))
        structs = pa.StructArray.from_arrays(list(parts.values()), names=list(parts))
        return pl.Series(pa.LargeListArray.from_arrays(pa.array(ends), structs)).cast(pl.List(LINE))


class Leads:
    """The lead scores of a definition.

    Columns: ``<name>_points``, and ``<name>_lines`` with what they are for, without those that gave none.

    Args:
        rules: by name.
    """

    def __init__(self, rules: Mapping[str, LeadScore]) -> None:
        self._program = Program(
            {f"{name}.{i}": p.sql for name, rule in rules.items() for i, p in enumerate(rule.points)}
        )
        #: of each lead score the words of its lines, and the column that each counts
        self._lines = {
            name: ([p.words for p in rule.points], [p.column for p in rule.points]) for name, rule in rules.items()
        }

    @property
    def columns(self) -> set[str]:
        """The columns of the feature row, and the state, that points are made of."""
        return set(self._program.columns).union(c for _, counted in self._lines.values() for c in counted if c)

    def of(self, columns: Mapping[str, Value], count: int) -> dict[str, Numbers | Lines]:
        """The columns of rows.

        Args:
            columns: those that points are made of.
            count: how many rows there are.
        """
        found, made, at = self._program.numbers(columns, count), dict[str, Numbers | Lines](), 0
        for name, (words, counted) in self._lines.items():
            points, times = found[at : at + len(words)], np.full((len(words), count), np.nan)
            at += len(words)
            for i, column in enumerate(counted):
                if column:
                    times[i] = columns[column]
            # one after the other: another order is another last digit
            made[f"{name}_points"] = reduce(add, points)
            made[f"{name}_lines"] = Lines(words, points.T, times.T)
        return made
