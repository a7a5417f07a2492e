"""Expressions of the definition as Polars expressions, for many rows; the same answers as `compiled`, row by row."""

from collections.abc import Callable
from functools import cache, reduce
from typing import TypeAlias

import polars as pl
from sqlglot import exp

from features.expressions.compiled import LIMITS, any_of, between, branches, pattern
from features.expressions.kinds import TEXTS
from features.expressions.parse import tree_of

Make: TypeAlias = Callable[[exp.Expression], pl.Expr]


@cache
def expression(sql: str) -> pl.Expr:
    """Make a Polars expression of one that was checked when the definition was loaded.

    Args:
        sql: the expression.
    """
    return _make(tree_of(sql))


def _make(node: exp.Expression) -> pl.Expr:
    return _KINDS[type(node)](node)


def _literal(node: exp.Expression) -> pl.Expr:
    return pl.lit(node.name) if node.is_string else pl.lit(float(node.name))


def _of_two(apply: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Make:
    return lambda node: apply(_make(node.this), _make(node.expression))


def _of_one(apply: Callable[[pl.Expr], pl.Expr]) -> Make:
    return lambda node: apply(_make(node.this))


def _connecting(join: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Make:
    """AND or OR of all that it joins, in halves: a chain of hundreds would be nested as deeply."""

    def halves(parts: list[pl.Expr]) -> pl.Expr:
        middle = len(parts) // 2
        return parts[0] if len(parts) == 1 else join(halves(parts[:middle]), halves(parts[middle:]))

    return lambda node: halves([_make(part) for part in node.flatten(unnest=False)])


def _in(node: exp.Expression) -> pl.Expr:
    if not all(isinstance(item, exp.Literal) for item in node.expressions):
        return _make(any_of(node))
    values = [item.name if item.is_string else float(item.name) for item in node.expressions]
    return _make(node.this).is_in(values)


def _is(node: exp.Expression) -> pl.Expr:
    if isinstance(node.expression, exp.Boolean):
        return _make(node.this).eq_missing(pl.lit(bool(node.expression.this)))
    return _make(node.this).is_null()


def _case(node: exp.Expression) -> pl.Expr:
    asked, default = branches(node)
    answer = _make(default)
    for condition, then in reversed(asked):
        answer = pl.when(_make(condition)).then(_make(then)).otherwise(answer)
    return answer


def _extreme(ahead: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Make:
    """The least or greatest of what is there."""

    def choose(one: pl.Expr, other: pl.Expr) -> pl.Expr:
        return pl.when(other.is_null() | ahead(one, other)).then(one).otherwise(other)

    return lambda node: reduce(choose, [_make(part) for part in (node.this, *node.expressions)])


def _nullif(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return pl.when((a == b).fill_null(False)).then(None).otherwise(a)


def _round(node: exp.Expression) -> pl.Expr:
    places = node.args.get("decimals")
    value, scale = _make(node.this), 10.0 ** (int(places.name) if places is not None else 0)
    scaled = value * scale
    rounded = scaled.round(0, mode="half_away_from_zero") / scale
    return pl.when(scaled.is_finite()).then(rounded).otherwise(value)


def _cast(node: exp.Expression) -> pl.Expr:
    value, to = _make(node.this), node.args["to"].this
    if to in TEXTS:
        return value
    # by way of text, since a column's own type is not known here; a number is written so that it is read back exactly
    number = value.cast(pl.String).str.strip_chars(" ").cast(pl.Float64, strict=False)
    number = pl.when(number.is_finite()).then(number)
    if to not in LIMITS:
        return number
    near = number.round(0, mode="half_to_even")
    return pl.when((near >= -LIMITS[to]) & (near < LIMITS[to])).then(near)


def _like(node: exp.Expression) -> pl.Expr:
    return _make(node.this).str.contains(f"(?s)^{pattern(node.expression.name)}$")


def _ilike(node: exp.Expression) -> pl.Expr:
    return _make(node.this).str.to_lowercase().str.contains(f"(?s)^{pattern(node.expression.name.lower())}$")


def _replace(node: exp.Expression) -> pl.Expr:
    old, new = node.expression.name, node.args["replacement"].name
    return _make(node.this).str.replace_all(old, new, literal=True)


def _coalesce(node: exp.Expression) -> pl.Expr:
    return pl.coalesce([_make(option) for option in (node.this, *node.expressions)])


_KINDS: dict[type[exp.Expression], Make] = {
    exp.Column: lambda node: pl.col(node.name),
    exp.Literal: _literal,
    exp.Boolean: lambda node: pl.lit(bool(node.this)),
    exp.Null: lambda node: pl.lit(None),
    exp.Paren: _of_one(lambda value: value),
    exp.Neg: _of_one(lambda value: -value),
    exp.Not: _of_one(lambda value: ~value),
    exp.And: _connecting(lambda a, b: a & b),
    exp.Or: _connecting(lambda a, b: a | b),
    exp.EQ: _of_two(lambda a, b: a == b),
    exp.NEQ: _of_two(lambda a, b: a != b),
    exp.LT: _of_two(lambda a, b: a < b),
    exp.LTE: _of_two(lambda a, b: a <= b),
    exp.GT: _of_two(lambda a, b: a > b),
    exp.GTE: _of_two(lambda a, b: a >= b),
    exp.NullSafeEQ: _of_two(lambda a, b: a.eq_missing(b)),
    exp.NullSafeNEQ: _of_two(lambda a, b: a.ne_missing(b)),
    exp.Add: _of_two(lambda a, b: a + b),
    exp.Sub: _of_two(lambda a, b: a - b),
    exp.Mul: _of_two(lambda a, b: a * b),
    exp.Div: _of_two(lambda a, b: pl.when(b != 0).then(a / b)),
    exp.DPipe: _of_two(lambda a, b: pl.concat_str(a, b)),
    exp.StartsWith: _of_two(lambda a, b: a.str.starts_with(b)),
    exp.Like: _like,
    exp.ILike: _ilike,
    exp.In: _in,
    exp.Between: lambda node: _make(between(node)),
    exp.Is: _is,
    exp.Case: _case,
    exp.If: _case,
    exp.Coalesce: _coalesce,
    exp.Nullif: _of_two(_nullif),
    exp.Least: _extreme(lambda a, b: a <= b),
    exp.Greatest: _extreme(lambda a, b: a >= b),
    exp.Abs: _of_one(lambda value: value.abs()),
    exp.Floor: _of_one(lambda value: value.floor()),
    exp.Ceil: _of_one(lambda value: value.ceil()),
    exp.Round: _round,
    exp.Ln: _of_one(lambda value: pl.when(value > 0).then(value.log())),
    exp.Lower: _of_one(lambda value: value.str.to_lowercase()),
    exp.Upper: _of_one(lambda value: value.str.to_uppercase()),
    exp.Trim: _of_one(lambda value: value.str.strip_chars(" ")),
    exp.Length: _of_one(lambda value: value.str.len_chars().cast(pl.Float64)),
    exp.Replace: _replace,
    exp.Cast: _cast,
    exp.TryCast: _cast,
}
