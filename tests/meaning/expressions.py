"""The meaning of expressions, row by row, in plain Python: what the product's evaluator has to say, too.

Null is None, comparisons with it are None, `AND` and `OR` know three values, and what cannot be computed is None.
"""

import math
import operator
from functools import cache

from sqlglot import exp

from features.expressions.expression import Expression
from tests.meaning.choices import case, coalesce, extreme, nullif
from tests.meaning.forms import Compile, Compiled, Form, of_one, of_two
from tests.meaning.truths import between, comparing, connecting, in_, is_, same_or_not
from tests.meaning.values import cast, like, logarithm, replaced, rounded, value_of, whole


@cache
def meaning(sql: str) -> Compiled:
    """What an expression means, as a function of a row.

    Args:
        sql: the expression.
    """
    return _compile(Expression(sql).tree)


def _compile(node: exp.Expression) -> Compiled:
    return _KINDS[type(node)](node, _compile)


def _column(node: exp.Expression, _: Compile) -> Compiled:
    name = node.name
    return lambda row: row[name]


def _literal(node: exp.Expression, _: Compile) -> Compiled:
    value = value_of(node)
    return lambda row: value


def _boolean(node: exp.Expression, _: Compile) -> Compiled:
    value = bool(node.this)
    return lambda row: value


def _null(_: exp.Expression, __: Compile) -> Compiled:
    return lambda row: None


def _inside(node: exp.Expression, of: Compile) -> Compiled:
    return of(node.this)


_KINDS: dict[type[exp.Expression], Form] = {
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Boolean: _boolean,
    exp.Null: _null,
    exp.Paren: _inside,
    exp.Neg: of_one(operator.neg),
    exp.Not: of_one(operator.not_),
    exp.And: connecting(False),
    exp.Or: connecting(True),
    exp.EQ: comparing(operator.eq),
    exp.NEQ: comparing(operator.ne),
    exp.LT: comparing(operator.lt),
    exp.LTE: comparing(operator.le),
    exp.GT: comparing(operator.gt),
    exp.GTE: comparing(operator.ge),
    exp.NullSafeEQ: same_or_not(True),
    exp.NullSafeNEQ: same_or_not(False),
    exp.Add: of_two(operator.add),
    exp.Sub: of_two(operator.sub),
    exp.Mul: of_two(operator.mul),
    exp.Div: of_two(lambda a, b: a / b if b != 0 else None),
    exp.DPipe: of_two(operator.add),
    exp.StartsWith: of_two(str.startswith),
    exp.Like: like(str),
    exp.ILike: like(str.lower),
    exp.In: in_,
    exp.Between: lambda node, of: of(between(node)),
    exp.Is: is_,
    exp.Case: case,
    exp.If: case,
    exp.Coalesce: coalesce,
    exp.Nullif: nullif,
    exp.Least: extreme(min),
    exp.Greatest: extreme(max),
    exp.Abs: of_one(abs),
    exp.Floor: of_one(lambda value: whole(value, math.floor)),
    exp.Ceil: of_one(lambda value: whole(value, math.ceil)),
    exp.Round: rounded,
    exp.Ln: of_one(logarithm),
    exp.Lower: of_one(str.lower),
    exp.Upper: of_one(str.upper),
    exp.Trim: of_one(lambda text: text.strip(" ")),
    exp.Length: of_one(lambda text: float(len(text))),
    exp.Replace: replaced,
    exp.Cast: cast,
    exp.TryCast: cast,
}
