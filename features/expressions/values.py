"""Values of expressions, a column at a time, for one row or a million: numbers, truths and texts.

A number is a float64 array, NaN where there is none: what cannot be computed is nothing, and nothing else. A single
value stands for a whole column of it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]


class Truths:
    """Answers to a yes/no question: ``yes``, ``no``, or neither where the answer is not known.

    Args:
        yes: where it is true.
        no: where it is false; or what works that out, since few expressions ask.
    """

    __slots__ = ("_no", "yes")

    def __init__(self, yes: Flags, no: "Flags | Callable[[], Flags]") -> None:
        self.yes = yes
        self._no = no

    @property
    def no(self) -> Flags:
        """Where it is false."""
        if callable(self._no):
            self._no = self._no()
        return self._no


class Texts:
    """Texts by their place in a list of values, which may hold one twice; -1 where there is none.

    Args:
        codes: the place of each row's text.
        values: the list.
    """

    __slots__ = ("codes", "values")

    def __init__(self, codes: NDArray[np.int64], values: tuple[str, ...]) -> None:
        self.codes, self.values = codes, values

    @classmethod
    def of(cls, texts: Sequence[str | None]) -> "Texts":
        """Texts at hand."""
        places: dict[str, int] = {}
        codes = [-1 if text is None else places.setdefault(text, len(places)) for text in texts]
        return cls(np.array(codes, dtype=np.int64), tuple(places))

    @classmethod
    def of_series(cls, texts: pl.Series) -> "Texts":
        """The same of a column."""
        if len(texts) < 100:
            return cls.of(texts.to_list())
        values = texts.drop_nulls().unique(maintain_order=True)
        codes = texts.replace_strict(values, np.arange(len(values)), default=-1, return_dtype=pl.Int64)
        return cls(codes.fill_null(-1).to_numpy(), tuple(values))

    def at(self, row: int) -> str | None:
        """The text of a row."""
        code = int(self.codes[row])
        return None if code < 0 else self.values[code]

    def take(self, which: NDArray[np.int64]) -> "Texts":
        """The texts of some rows."""
        return Texts(self.codes[which], self.values)

    @property
    def single(self) -> bool:
        """Whether it is one text, for all rows."""
        return self.codes.ndim == 0

    def map(self, change: Callable[[str], str]) -> "Texts":
        """Other texts, each made of one."""
        return Texts(self.codes, tuple(change(value) for value in self.values))

    def test(self, holds: Callable[[str], bool]) -> Truths:
        """Ask each text a question."""
        if self.codes.size == 1:  # looking up costs more than asking
            code, answers = self.codes.item(), _ANSWERS[self.codes.ndim]
            answer = code >= 0 and bool(holds(self.values[code]))
            return Truths(answers[answer], answers[code >= 0 and not answer])
        # the last entry is looked up by -1
        yes = np.array([*(bool(holds(value)) for value in self.values), False])
        no = ~yes
        no[-1] = False
        return Truths(yes[self.codes], lambda: no[self.codes])

    def measure(self, number: Callable[[str], float]) -> Numbers:
        """A number of each text."""
        return np.array([*(number(value) for value in self.values), np.nan])[self.codes]

    def to_list(self) -> list[str | None]:
        """The texts, None where there is none."""
        values, codes = self.values, self.codes.tolist() if self.codes.ndim else [self.codes.item()]
        return [None if code < 0 else values[code] for code in codes]

    def to_series(self) -> pl.Series:
        """As a column."""
        codes = np.atleast_1d(self.codes)
        values = pa.array(self.values, pa.large_string())
        return pl.Series(values.take(pa.array(codes, mask=codes < 0)), dtype=pl.String)


#: false and true as a single value, and as a column of one row
_ANSWERS = [(np.array(False), np.array(True)), (np.array([False]), np.array([True]))]
for _answer in (*_ANSWERS[0], *_ANSWERS[1]):
    _answer.setflags(write=False)

#: None is NULL, which has no kind of its own
Value: TypeAlias = Numbers | Truths | Texts | None


def nothing(value: Value) -> Flags:
    """Where a value is NULL."""
    if value is None:
        return np.array(True)
    if isinstance(value, Texts):
        return np.asarray(value.codes < 0)
    if isinstance(value, Truths):
        return ~(value.yes | value.no)
    return np.isnan(value)


def choose(where: Flags, value: Value, other: Value) -> Value:
    """One value where a condition holds, and another elsewhere."""
    if value is None or other is None:
        if value is None and other is None:
            return None
        value, other = (_nothing_like(other) if v is None else v for v in (value, other))
    if isinstance(value, Texts) and isinstance(other, Texts):
        codes = np.where(other.codes < 0, -1, other.codes + len(value.values))
        return Texts(np.where(where, value.codes, codes), value.values + other.values)
    if isinstance(value, Truths) and isinstance(other, Truths):
        a, b = value, other
        return Truths(np.where(where, a.yes, b.yes), lambda: np.where(where, a.no, b.no))
    return np.asarray(np.where(where, value, other), dtype=np.float64)  # type: ignore[arg-type]


def _nothing_like(value: Value) -> Value:
    """NULL of the kind of a value."""
    if isinstance(value, Texts):
        return Texts(np.array(-1), ())
    return Truths(np.array(False), np.array(False)) if isinstance(value, Truths) else np.array(np.nan)


def texts_of(frame: pl.DataFrame, names: Iterable[str]) -> dict[str, Texts]:
    """Columns of text of a frame."""
    return {name: Texts.of_series(frame[name].cast(pl.String)) for name in names}


def column_of(series: pl.Series) -> Value:
    """A column of a frame."""
    if series.dtype == pl.String:
        return Texts.of_series(series)
    if series.dtype == pl.Boolean:
        yes = series.fill_null(False).to_numpy()
        return Truths(yes, ~yes & series.is_not_null().to_numpy())
    return series.cast(pl.Float64).fill_null(np.nan).to_numpy()
