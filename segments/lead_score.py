"""Lead scores: points by hand, each with what it was given for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import polars as pl

from features.definition.lead_score import LeadScore
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
    def expressions(self) -> list[pl.Expr]:
        """The columns, made of those of the feature row and the state."""
        made: list[pl.Expr] = []
        for name, lines in self._lines.items():
            points = [line.points.cast(pl.Float64) for line in lines]
            told = [
                pl.when(given != 0).then(
                    pl.struct(
                        pl.lit(line.words).alias("what"),
                        (pl.col(line.times) if line.times else pl.lit(None)).cast(pl.Float64).alias("times"),
                        given.alias("points"),
                    )
                )
                for line, given in zip(lines, points, strict=True)
            ]
            # one after the other, as for one row: another order is another last digit
            made.append(reduce(add, points).alias(f"{name}_points"))
            made.append(pl.concat_list(told).list.drop_nulls().cast(pl.List(LINE)).alias(f"{name}_lines"))
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
