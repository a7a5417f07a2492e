"""Lead scores: points by hand, each with what it was given for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from features.definition.sections.lead_score import LeadScore
from features.expressions.compiled import Compiled, Row, compiled
from features.rows import expression

#: what one line of a lead score gave
LINE = pl.Struct({"what": pl.String, "times": pl.Float64, "points": pl.Float64})


@dataclass(frozen=True, slots=True)
class _Line:
    words: str
    times: str | None
    points: pl.Expr
    few: Compiled


class Leads:
    """The lead scores of a definition.

    Columns: ``<name>_points``, and ``<name>_lines`` with what they are for, without those that gave none.

    Args:
        rules: by name.
    """

    def __init__(self, rules: Mapping[str, LeadScore]) -> None:
        self._lines = {
            name: [_Line(p.words, p.column, expression(p.sql), compiled(p.sql)) for p in rule.points]
            for name, rule in rules.items()
        }
        self.columns = [f"{name}_{part}" for name in rules for part in ("points", "lines")]

    @property
    def roots(self) -> set[str]:
        """The columns of the feature row, and the state, that points are made of."""
        every = [line for lines in self._lines.values() for line in lines]
        counted = {line.times for line in every if line.times}
        return counted.union(*(line.points.meta.root_names() for line in every))

    def of(self, frame: pl.DataFrame) -> list[pl.Series]:
        """The columns of a frame of feature rows with the state."""
        made: list[pl.Series] = []
        for name, lines in self._lines.items():
            points = [line.points.cast(pl.Float64) for line in lines]
            # one after the other, as for one row: another order is another last digit
            numbered = (p.alias(str(i)) for i, p in enumerate(points))
            # the first column gives points that name none their length
            _, total, *given = frame.select(pl.first(), reduce(add, points).alias(f"{name}_points"), *numbered)
            made += [total, _told(frame, lines, given).alias(f"{name}_lines")]
        return made

    def of_row(self, row: Row) -> dict[str, Any]:
        """The columns of one row."""
        found: dict[str, Any] = {}
        for name, lines in self._lines.items():
            given = [(line, float(line.few(row))) for line in lines]
            found[f"{name}_points"] = sum(points for _, points in given)
            found[f"{name}_lines"] = [
                {"what": line.words, "times": row[line.times] if line.times else None, "points": points}
                for line, points in given
                if points != 0
            ]
        return found


def _told(frame: pl.DataFrame, lines: list[_Line], given: list[pl.Series]) -> pl.Series:
    """The lines that gave points, a list a row.

    The lists are one Arrow array put together from the rows and lines that gave some: a struct for each row and line,
    most of them null, would cost sixty times as much.
    """
    points, times = np.empty((2, len(frame), len(lines)))
    told = np.empty((len(frame), len(lines)), dtype=np.bool_)
    for i, (line, column) in enumerate(zip(lines, given, strict=True)):
        points[:, i] = column.to_numpy()
        told[:, i] = (column.is_not_null() & (column != 0)).to_numpy()
        times[:, i] = frame[line.times].cast(pl.Float64).to_numpy() if line.times else np.nan
    places = np.flatnonzero(told)
    counted = times.ravel()[places]
    parts = {
        "what": pa.array([line.words for line in lines], pa.large_string()).take(pa.array(places % len(lines))),
        "times": pa.array(counted, mask=np.isnan(counted)),
        "points": pa.array(points.ravel()[places]),
    }
    ends = np.append(0, np.cumsum(told.sum(axis=1, dtype=np.int64)))
    structs = pa.StructArray.from_arrays(list(parts.values()), names=list(parts))
    return pl.Series(pa.LargeListArray.from_arrays(pa.array(ends), structs)).cast(pl.List(LINE))
