"""One evaluator of predicates, for one user or a million: SQL expressions over a frame."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from features.definition.sections.rule import OTHERWISE
from features.expressions.compiled import Compiled, Row, compiled
from features.rows import expression


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Named predicates, parsed once.

    Null is not true: a user about whom a predicate has nothing to say is not in it.
    """

    predicates: Mapping[str, pl.Expr]
    few: Mapping[str, Compiled]

    @classmethod
    def of(cls, rules: Mapping[str, str]) -> "Evaluator":
        """Parse rules; ``otherwise`` is always true."""
        return cls(
            {name: pl.lit(True) if sql == OTHERWISE else expression(sql) for name, sql in rules.items()},
            {name: compiled("true" if sql == OTHERWISE else sql) for name, sql in rules.items()},
        )

    @property
    def columns(self) -> set[str]:
        """The columns that the predicates name."""
        return {name for predicate in self.predicates.values() for name in predicate.meta.root_names()}

    def first_of(self, row: Row) -> str | None:
        """As `first`, for one row."""
        return next((name for name, holds in self.few.items() if holds(row)), None)

    def every_of(self, row: Row) -> list[str]:
        """As `every`, for one row."""
        return [name for name, holds in self.few.items() if holds(row)]

    def first(self) -> pl.Expr:
        """The name of the first rule that holds, in order; null when none does."""
        answer = pl.lit(None, dtype=pl.String)
        for name, predicate in reversed(list(self.predicates.items())):
            answer = pl.when(predicate).then(pl.lit(name)).otherwise(answer)
        return answer

    def every(self, frame: pl.DataFrame) -> pl.Series:
        """The names of all rules that hold, as a list a row, in order.

        Lists are put together from the rows and columns of what is true: a text for each rule and row, most of them
        null, would cost thirty times what the rules do.
        """
        names = pa.array(list(self.predicates), pa.large_string())
        if not self.predicates or frame.is_empty():
            nothing: list[list[str]] = [[]] * len(frame)
            return pl.Series(nothing, dtype=pl.List(pl.String))
        asked = [predicate.fill_null(False).alias(name) for name, predicate in self.predicates.items()]
        holds = frame.select(asked)
        true = np.empty((len(frame), len(names)), dtype=np.bool_)
        for i, column in enumerate(holds):
            true[:, i] = column.to_numpy() if len(column) == len(frame) else column[0]  # `otherwise` is one for all
        codes = np.flatnonzero(true) % len(names)
        ends = np.cumsum(true.sum(axis=1, dtype=np.int64))
        lists = pa.LargeListArray.from_arrays(pa.array(np.append(0, ends)), names.take(pa.array(codes)))
        return pl.Series(lists)
