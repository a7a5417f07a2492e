"""The meaning of expressions, row by row, in plain Python: what the product's evaluator has to say, too.

Null is None, comparisons with it are None, `AND` and `OR` know three values, and what cannot be computed is None.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import cache, reduce
from typing import Any, TypeAlias

from sqlglot import exp

from features.expressions.expression import Expression
from features.expressions.kinds import TEXTS

Value: TypeAlias = float | int | str | bool | None
Row: TypeAlias = Mapping[str, Value]
Compiled: TypeAlias = Callable[[Row], Any]

#: a text that is a number, and the numbers that fit the integers of SQL
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
LIMITS = {exp.DType.INT: 2.0**31, exp.DType.BIGINT: 2.0**63}


@cache
def meaning(sql: str) -> Compiled:
    """What an expression means, as a function of a row.

    Args:
        sql: the expression.
    """
    return _compile(Expression(sql).tree)


def _compile(node: exp.Expression) -> Compiled:
    return _KINDS[type(node)](node)


def _column(node: exp.Expression) -> Compiled:
    name = node.name
    return lambda row: row[name]


def _literal(node: exp.Expression) -> Compiled:
    text = str(node.this)
    value: Value = text if node.is_string else float(text)
    return lambda row: value


def _boolean(node: exp.Expression) -> Compiled:
    value = bool(node.this)
    return lambda row: value


def _null(_: exp.Expression) -> Compiled:
    return lambda row: None


def _inside(node: exp.Expression) -> Compiled:
    return _compile(node.this)


def _connecting(decides: bool) -> Callable[[exp.Expression], Compiled]:
    """AND, which one false decides, or OR, which one true does; NULL where nothing decides and something is unknown."""

    def make(node: exp.Expression) -> Compiled:
        parts = [_compile(part) for part in node.flatten(unnest=False)]

        def connect(row: Row) -> bool | None:
            unknown = False
            for part in parts:
                value: bool | None = part(row)
                if value is decides:
                    return decides
                unknown = unknown or value is None
            return None if unknown else not decides

        return connect

    return make


def _comparing(holds: Callable[[Any, Any], bool]) -> Callable[[exp.Expression], Compiled]:
    def make(node: exp.Expression) -> Compiled:
        left, right = _compile(node.left), _compile(node.right)

        def compare(row: Row) -> bool | None:
            a, b = left(row), right(row)
            return None if a is None or b is None else holds(a, b)

        return compare

    return make


def _of_two(apply: Callable[[Any, Any], Any]) -> Callable[[exp.Expression], Compiled]:
    """What is made of two values, None when one of them is."""

    def make(node: exp.Expression) -> Compiled:
        left, right = _compile(node.this), _compile(node.expression)

        def calculate(row: Row) -> Value:
            a, b = left(row), right(row)
            return None if a is None or b is None else _there(apply(a, b))

        return calculate

    return make


def _of_one(apply: Callable[[Any], Any]) -> Callable[[exp.Expression], Compiled]:
    """What is made of one value, None when it is."""

    def make(node: exp.Expression) -> Compiled:
        inner = _compile(node.this)
        return lambda row: None if (value := inner(row)) is None else _there(apply(value))

    return make


def _there(value: Any) -> Any:
    """What is no number is nothing."""
    return None if isinstance(value, float) and value != value else value


def _whole(value: float, down: Callable[[float], int]) -> float:
    return float(down(value)) if math.isfinite(value) else value


def _logarithm(value: float) -> float | None:
    return math.log(value) if value > 0 else None


def _round(node: exp.Expression) -> Compiled:
    places = node.args.get("decimals")
    scale = 10.0 ** (int(places.name) if places is not None else 0)

    def away(value: float) -> float:
        scaled = abs(value * scale)
        if not math.isfinite(scaled):
            return value
        low = math.floor(scaled)
        return math.copysign(low + (scaled - low >= 0.5), value) / scale

    return _of_one(away)(node)


def _cast(node: exp.Expression) -> Compiled:
    to = node.args["to"].this
    if to in TEXTS:
        return _compile(node.this)
    limit = LIMITS.get(to)

    def number(value: Any) -> float | None:
        if isinstance(value, str):
            text = value.strip(" ")
            value = float(text) if NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(value):
            return None
        if limit is None:
            return float(value)
        near = float(round(value))
        return near if -limit <= near < limit else None

    return _of_one(number)(node)


def _like(fold: Callable[[str], str]) -> Callable[[exp.Expression], Compiled]:
    def make(node: exp.Expression) -> Compiled:
        holds = re.compile(pattern(fold(node.expression.name)), re.DOTALL).fullmatch
        return _of_one(lambda text: holds(fold(text)) is not None)(node)

    return make


def pattern(like: str) -> str:
    """The regular expression that a pattern of LIKE is."""
    return "".join({"%": ".*", "_": "."}.get(char) or re.escape(char) for char in like)


def _replace(node: exp.Expression) -> Compiled:
    old, new = node.expression.name, node.args["replacement"].name
    return _of_one(lambda text: text.replace(old, new))(node)


def any_of(node: exp.Expression) -> exp.Expression:
    """A list of values as comparisons that OR joins."""
    return reduce(
        lambda left, right: exp.Or(this=left, expression=right),
        [exp.EQ(this=node.this.copy(), expression=item.copy()) for item in node.expressions],
    )


def between(node: exp.Expression) -> exp.Expression:
    """A range as two comparisons."""
    this, low, high = node.this, node.args["low"], node.args["high"]
    return exp.And(this=exp.GTE(this=this.copy(), expression=low.copy()),
                   expression=exp.LTE(this=this.copy(), expression=high.copy()))  # fmt: skip


def branches(node: exp.Expression) -> tuple[list[tuple[exp.Expression, exp.Expression]], exp.Expression]:
    """The conditions of CASE or IF with their answers, and the answer otherwise."""
    if isinstance(node, exp.If):
        return [(node.this, node.args["true"])], node.args.get("false") or exp.Null()
    asked = [
        branch.this if node.this is None else exp.EQ(this=node.this.copy(), expression=branch.this.copy())
        for branch in node.args["ifs"]
    ]
    answers = [branch.args["true"] for branch in node.args["ifs"]]
    return list(zip(asked, answers, strict=True)), node.args.get("default") or exp.Null()


def _in(node: exp.Expression) -> Compiled:
    if not all(isinstance(item, exp.Literal) for item in node.expressions):
        return _compile(any_of(node))
    inner = _compile(node.this)
    values = {_literal(item)({}) for item in node.expressions}
    return lambda row: None if (value := inner(row)) is None else value in values


def _is(node: exp.Expression) -> Compiled:
    inner = _compile(node.this)
    wanted = bool(node.expression.this) if isinstance(node.expression, exp.Boolean) else None
    return lambda row: inner(row) is wanted


def _same(yes: bool) -> Callable[[exp.Expression], Compiled]:
    """Whether two values are equal, where NULL equals NULL."""

    def make(node: exp.Expression) -> Compiled:
        left, right = _compile(node.left), _compile(node.right)

        def same(row: Row) -> bool:
            a, b = left(row), right(row)
            equal = a is b if a is None or b is None else a == b
            return equal is yes

        return same

    return make


def _case(node: exp.Expression) -> Compiled:
    asked, default = branches(node)
    ways = [(_compile(condition), _compile(answer)) for condition, answer in asked]
    otherwise = _compile(default)

    def case(row: Row) -> Value:
        for condition, answer in ways:
            if condition(row):
                return answer(row)  # type: ignore[no-any-return]
        return otherwise(row)  # type: ignore[no-any-return]

    return case


def _coalesce(node: exp.Expression) -> Compiled:
    options = [_compile(option) for option in (node.this, *node.expressions)]
    return lambda row: next((value for option in options if (value := option(row)) is not None), None)


def _nullif(node: exp.Expression) -> Compiled:
    left, right = _compile(node.this), _compile(node.expression)

    def differing(row: Row) -> Value:
        a, b = left(row), right(row)
        same = a is not None and b is not None and a == b
        return None if same else a

    return differing


def _extreme(choose: Callable[..., Any]) -> Callable[[exp.Expression], Compiled]:
    """The least or greatest of what is there."""

    def make(node: exp.Expression) -> Compiled:
        options = [_compile(option) for option in (node.this, *node.expressions)]

        def extreme(row: Row) -> Value:
            there = [value for option in options if (value := option(row)) is not None]
            return choose(there) if there else None

        return extreme

    return make


_KINDS: dict[type[exp.Expression], Callable[[exp.Expression], Compiled]] = {
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Boolean: _boolean,
    exp.Null: _null,
    exp.Paren: _inside,
    exp.Neg: _of_one(operator.neg),
    exp.Not: _of_one(operator.not_),
    exp.And: _connecting(False),
    exp.Or: _connecting(True),
    exp.EQ: _comparing(operator.eq),
    exp.NEQ: _comparing(operator.ne),
    exp.LT: _comparing(operator.lt),
    exp.LTE: _comparing(operator.le),
    exp.GT: _comparing(operator.gt),
    exp.GTE: _comparing(operator.ge),
    exp.NullSafeEQ: _same(True),
    exp.NullSafeNEQ: _same(False),
    exp.Add: _of_two(operator.add),
    exp.Sub: _of_two(operator.sub),
    exp.Mul: _of_two(operator.mul),
    exp.Div: _of_two(lambda a, b: a / b if b != 0 else None),
    exp.DPipe: _of_two(operator.add),
    exp.StartsWith: _of_two(str.startswith),
    exp.Like: _like(str),
    exp.ILike: _like(str.lower),
    exp.In: _in,
    exp.Between: lambda node: _compile(between(node)),
    exp.Is: _is,
    exp.Case: _case,
    exp.If: _case,
    exp.Coalesce: _coalesce,
    exp.Nullif: _nullif,
    exp.Least: _extreme(min),
    exp.Greatest: _extreme(max),
    exp.Abs: _of_one(abs),
    exp.Floor: _of_one(lambda value: _whole(value, math.floor)),
    exp.Ceil: _of_one(lambda value: _whole(value, math.ceil)),
    exp.Round: _round,
    exp.Ln: _of_one(_logarithm),
    exp.Lower: _of_one(str.lower),
    exp.Upper: _of_one(str.upper),
    exp.Trim: _of_one(lambda text: text.strip(" ")),
    exp.Length: _of_one(lambda text: float(len(text))),
    exp.Replace: _replace,
    exp.Cast: _cast,
    exp.TryCast: _cast,
}
