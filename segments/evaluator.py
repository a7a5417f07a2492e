"""One evaluator of predicates, for one user or a million: SQL expressions over a frame."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from features.definition.compiled import Compiled, Row, compiled
from features.definition.rule import OTHERWISE
from features.rows import expression


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Named predicates, parsed once.

    Null is not true: a user about whom a predicate has nothing to say is not in it.
    """

    predicates: Mapping[str, pl.Expr]
    few: Mapping[str, Compiled | None]

    @classmethod
    def of(cls, rules: Mapping[str, str]) -> "Evaluator":
        """Parse rules; ``otherwise`` is always true."""
        return cls(
            {name: pl.lit(True) if sql == OTHERWISE else expression(sql) for name, sql in rules.items()},
            {name: compiled("true" if sql == OTHERWISE else sql) for name, sql in rules.items()},
        )

    @property
    def is_compiled(self) -> bool:
        """Whether `first_of` and `every_of` can answer."""
        return None not in self.few.values()

    def first_of(self, row: Row) -> str | None:
        """As `first`, for one row."""
        return next((name for name, holds in self.few.items() if holds is not None and holds(row)), None)

    def every_of(self, row: Row) -> list[str]:
        """As `every`, for one row."""
        return [name for name, holds in self.few.items() if holds is not None and holds(row)]

    def first(self) -> pl.Expr:
        """The name of the first rule that holds, in order; null when none does."""
        answer = pl.lit(None, dtype=pl.String)
        for name, predicate in reversed(list(self.predicates.items())):
            answer = pl.when(predicate).then(pl.lit(name)).otherwise(answer)
        return answer

    def every(self) -> pl.Expr:
        """The names of all rules that hold, as a list, in order."""
        if not self.predicates:
            return pl.lit([], dtype=pl.List(pl.String))
        names = [pl.when(predicate).then(pl.lit(name)) for name, predicate in self.predicates.items()]
        return pl.concat_list(names).list.drop_nulls()
