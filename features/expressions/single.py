"""The operators for a single row, where an array of one value costs ten times as much as the value.

A number is a float, NaN where there is none; a truth is True, False or None; a text is a str or None. Only the
operators that most conditions are made of are here; any other one is applied to arrays of one value.
"""

import math
import operator
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from features.expressions import operators as op
from features.expressions.values import Texts, Truths, Value

Single: TypeAlias = float | bool | str | None


def single(value: Value) -> Single:
    """The value of a column of one row."""
    if isinstance(value, np.ndarray | np.floating):  # NumPy makes a scalar of an array without dimensions
        return float(value.item())
    if isinstance(value, Texts):
        code = value.codes.item()
        return None if code < 0 else value.values[code]
    if isinstance(value, Truths):
        return True if value.yes.item() else False if value.no.item() else None
    return None


def for_one(many: op.Operator) -> Callable[..., Single]:
    """What an operator makes of a single row."""
    if isinstance(many, partial):
        known = _ONE.get(many.func)
        return partial(known, *many.args, **many.keywords) if known is not None else partial(_lifted, many)
    return _ONE.get(many) or partial(_lifted, many)


def _lifted(many: op.Operator, *parts: Single) -> Single:
    return single(many(*[_column(part) for part in parts]))


def _column(one: Single) -> Value:
    if one is None:  # no number, which is NaN, and no truth: the operators on truths are all below
        return Texts(np.array(-1), ())
    if isinstance(one, bool):
        return Truths(np.array(one), np.array(not one))
    return Texts(np.array(0), (one,)) if isinstance(one, str) else np.array(one)


def _null(one: Single) -> bool:
    return one is None or one != one


def _every(*parts: bool | None) -> bool | None:
    return False if False in parts else None if None in parts else True


def _some(*parts: bool | None) -> bool | None:
    return True if True in parts else None if None in parts else False


def _comparing(holds: Callable[[Any, Any], bool]) -> Callable[[Single, Single], bool | None]:
    def compare(a: Single, b: Single) -> bool | None:
        return None if a is None or b is None or a != a or b != b else holds(a, b)

    return compare


def _within(a: Single, values: list[float | str]) -> bool | None:
    return None if _null(a) else a in values


def _between(a: Single, least: Single, most: Single) -> bool | None:
    return _every(_at_least(a, least), _at_most(a, most))


def _case(default: Single, *ways: Single) -> Single:
    found = next((then for asked, then in zip(ways[::2], ways[1::2], strict=True) if asked is True), default)
    return _nothing_of(default, *ways[1::2]) if found is None else found


def _coalesced(*options: Single) -> Single:
    found = next((option for option in options if not _null(option)), None)
    return _nothing_of(*options) if found is None else found


def _nothing_of(*parts: Single) -> Single:
    """NULL of the kind of values."""
    return math.nan if any(isinstance(part, float) for part in parts) else None


_at_least, _at_most = _comparing(operator.ge), _comparing(operator.le)

_ONE: dict[Callable[..., Any], Callable[..., Any]] = {
    op.every: _every,
    op.some: _some,
    op.negated: lambda part: None if part is None else not part,
    op.equal: _comparing(operator.eq),
    op.differs: _comparing(operator.ne),
    op.less: _comparing(operator.lt),
    op.at_most: _at_most,
    op.greater: _comparing(operator.gt),
    op.at_least: _at_least,
    op.between: _between,
    op.within: _within,
    op.is_null: _null,
    op.is_truth: lambda a, wanted: a is wanted,
    op.case: _case,
    op.coalesced: _coalesced,
    op.quotient: lambda a, b: math.nan if b == 0 else a / b,
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.negative: operator.neg,
}
