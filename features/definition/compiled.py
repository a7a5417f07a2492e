"""Expressions of the definition as Python functions, for a handful of rows.

For one user the cost of an answer is not arithmetic but setting up a frame for it. What is compiled here means exactly
what Polars makes of the same SQL: null is None, comparisons with it are None, `AND` and `OR` know three values, and NaN
is the largest number. What has no entry here is not compiled, and then all expressions go the way of the many.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

import sqlglot
from sqlglot import exp

Value: TypeAlias = float | int | str | bool | None
Row: TypeAlias = Mapping[str, Value]
Compiled: TypeAlias = Callable[[Row], Any]


@cache
def compiled(sql: str) -> Compiled | None:
    """Compile an expression that was checked when the definition was loaded; None when it holds what is not known here.

    Args:
        sql: the expression.
    """
    try:
        return _compile(sqlglot.parse_one(sql, read="duckdb"))
    except _UnknownError:
        return None


class _UnknownError(Exception):
    """An expression holds what is not compiled."""


def _compile(node: exp.Expression) -> Compiled:
    for kind, make in _KINDS.items():
        if type(node) is kind:
            return make(node)
    raise _UnknownError(type(node).__name__)


def _column(node: exp.Expression) -> Compiled:
    name = node.name
    return lambda row: row[name]


def _literal(node: exp.Expression) -> Compiled:
    text = str(node.this)
    value: Value = text if node.is_string else float(text) if set(text) & set(".eE") else int(text)
    return lambda row: value


def _boolean(node: exp.Expression) -> Compiled:
    value = bool(node.this)
    return lambda row: value


def _null(_: exp.Expression) -> Compiled:
    return lambda row: None


def _inside(node: exp.Expression) -> Compiled:
    return _compile(node.this)


def _negative(node: exp.Expression) -> Compiled:
    inner = _compile(node.this)
    return lambda row: None if (value := inner(row)) is None else -value


def _not(node: exp.Expression) -> Compiled:
    inner = _compile(node.this)
    return lambda row: None if (value := inner(row)) is None else not value


def _connecting(decides: bool) -> Callable[[exp.Expression], Compiled]:
    """AND, which one false decides, or OR, which one true does; NULL where nothing decides and something is unknown."""

    def make(node: exp.Expression) -> Compiled:
        left, right = _compile(node.left), _compile(node.right)

        def connect(row: Row) -> bool | None:
            a: bool | None = left(row)
            if a is decides:
                return decides
            b: bool | None = right(row)
            if b is decides:
                return decides
            return None if a is None or b is None else not decides

        return connect

    return make


def _comparing(holds: Callable[[Any, Any], bool]) -> Callable[[exp.Expression], Compiled]:
    def make(node: exp.Expression) -> Compiled:
        left, right = _compile(node.left), _compile(node.right)

        def compare(row: Row) -> bool | None:
            a, b = left(row), right(row)
            return None if a is None or b is None else holds(_ordered(a), _ordered(b))

        return compare

    return make


def _ordered(value: Any) -> Any:
    """A value that compares as Polars has it: NaN is above all numbers, and equal to itself."""
    if isinstance(value, str):
        return value
    return (True, 0.0) if value != value else (False, value)


def _calculating(apply: Callable[[Any, Any], Any]) -> Callable[[exp.Expression], Compiled]:
    def make(node: exp.Expression) -> Compiled:
        if node.find(exp.Column) is None:
            raise _UnknownError("arithmetic of constants")  # Polars has decimals there, and an error for x / 0
        left, right = _compile(node.left), _compile(node.right)

        def calculate(row: Row) -> Value:
            a, b = left(row), right(row)
            return None if a is None or b is None else apply(a, b)

        return calculate

    return make


def _divide(a: float, b: float) -> float:
    if b != 0:
        return a / b
    if a == 0 or a != a:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _in(node: exp.Expression) -> Compiled:
    items = node.expressions
    if not items or not all(isinstance(item, exp.Literal) for item in items):
        raise _UnknownError("IN")
    inner = _compile(node.this)
    texts = {item.is_string for item in items}
    if len(texts) != 1:
        raise _UnknownError("IN")
    values = {_literal(item)({}) for item in items}
    return lambda row: None if (value := inner(row)) is None else value in values


def _between(node: exp.Expression) -> Compiled:
    if node.args.get("symmetric"):
        raise _UnknownError("BETWEEN SYMMETRIC")
    this, low, high = node.this, node.args["low"], node.args["high"]
    return _compile(exp.And(this=exp.GTE(this=this.copy(), expression=low),
                            expression=exp.LTE(this=this.copy(), expression=high)))  # fmt: skip


def _is(node: exp.Expression) -> Compiled:
    if not isinstance(node.expression, exp.Null):
        raise _UnknownError("IS")
    inner = _compile(node.this)
    return lambda row: inner(row) is None


def _case(node: exp.Expression) -> Compiled:
    if node.this is not None:
        raise _UnknownError("CASE of a value")
    branches = [(_compile(branch.this), _compile(branch.args["true"])) for branch in node.args["ifs"]]
    default = node.args.get("default")
    otherwise = _compile(default) if default is not None else _null(node)

    def case(row: Row) -> Value:
        for condition, answer in branches:
            if condition(row):
                return answer(row)  # type: ignore[no-any-return]
        return otherwise(row)  # type: ignore[no-any-return]

    return case


def _coalesce(node: exp.Expression) -> Compiled:
    options = [_compile(option) for option in (node.this, *node.expressions)]
    return lambda row: next((value for option in options if (value := option(row)) is not None), None)


_KINDS: dict[type[exp.Expression], Callable[[exp.Expression], Compiled]] = {
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Boolean: _boolean,
    exp.Null: _null,
    exp.Paren: _inside,
    exp.Neg: _negative,
    exp.Not: _not,
    exp.And: _connecting(False),
    exp.Or: _connecting(True),
    exp.EQ: _comparing(lambda a, b: a == b),
    exp.NEQ: _comparing(lambda a, b: a != b),
    exp.LT: _comparing(lambda a, b: a < b),
    exp.LTE: _comparing(lambda a, b: a <= b),
    exp.GT: _comparing(lambda a, b: a > b),
    exp.GTE: _comparing(lambda a, b: a >= b),
    exp.Add: _calculating(lambda a, b: a + b),
    exp.Sub: _calculating(lambda a, b: a - b),
    exp.Mul: _calculating(lambda a, b: a * b),
    exp.Div: _calculating(_divide),
    exp.In: _in,
    exp.Between: _between,
    exp.Is: _is,
    exp.Case: _case,
    exp.Coalesce: _coalesce,
}
