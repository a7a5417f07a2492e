"""One evaluator of predicates, for one user or a million: a program over columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features.definition.sections.rule import OTHERWISE
from features.expressions.program import Program
from features.expressions.values import Texts, Value


@dataclass(frozen=True, slots=True)
class Names:
    """A list of names a row, in the order of the rules.

    Attributes:
        codes: of all rows' names, one row after the other.
        counts: how many each row has.
        names: by code.
    """

    codes: NDArray[np.int64]
    counts: NDArray[np.int64]
    names: tuple[str, ...]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The row of each name."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def where(self, kept: NDArray[np.bool_]) -> "Names":
        """Some of the names."""
        counts = np.bincount(self.rows[kept], minlength=len(self.counts)).astype(np.int64)
        return Names(self.codes[kept], counts, self.names)

    def to_list(self) -> list[list[str]]:
        """As lists."""
        flat = [self.names[code] for code in self.codes.tolist()]
        ends = list(accumulate(self.counts.tolist()))
        return [flat[lo:hi] for lo, hi in zip([0, *ends], ends, strict=False)]

    def to_arrow(self) -> pa.LargeListArray:
        """As one Arrow array of lists."""
        names = pa.array(self.names, pa.large_string()).take(pa.array(self.codes))
        return pa.LargeListArray.from_arrays(pa.array(np.append(0, np.cumsum(self.counts))), names)

    def to_series(self) -> pl.Series:
        """As a column."""
        return pl.Series(self.to_arrow()).cast(pl.List(pl.String))


class Evaluator:
    """Named predicates, parsed once.

    Null is not true: a user about whom a predicate has nothing to say is not in it.

    Args:
        rules: SQL by name; ``otherwise`` is always true.
    """

    def __init__(self, rules: Mapping[str, str]) -> None:
        self.names = tuple(rules)
        self._program = Program({name: "true" if sql == OTHERWISE else sql for name, sql in rules.items()})

    @property
    def columns(self) -> frozenset[str]:
        """The columns that the predicates name."""
        return self._program.columns

    def holds(self, columns: Mapping[str, Value], count: int) -> NDArray[np.bool_]:
        """Which rules hold, ``[rows, rules]``.

        Args:
            columns: all that the predicates name.
            count: how many rows there are.
        """
        return self._program.truths(columns, count).T

    def first(self, columns: Mapping[str, Value], count: int) -> Texts:
        """The name of the first rule that holds, in order; nothing where none does."""
        if not self.names:
            return Texts(np.full(count, -1), ())
        found = self.holds(columns, count)
        return Texts(np.where(found.any(axis=1), found.argmax(axis=1), -1), self.names)

    def every(self, columns: Mapping[str, Value], count: int) -> Names:
        """The names of all rules that hold, a list a row, in order."""
        found = self.holds(columns, count)
        codes = np.flatnonzero(found) % max(len(self.names), 1)
        return Names(codes, found.sum(axis=1, dtype=np.int64), self.names)
