"""Conditions: AND and OR know three values, and comparisons with null are None."""

from collections.abc import Callable
from functools import reduce
from typing import Any

from sqlglot import exp

from tests.meaning.forms import Compile, Compiled, Form, Row
from tests.meaning.values import value_of


def connecting(decides: bool) -> Form:
    """AND, which one false decides, or OR, which one true does; NULL where nothing decides and something is unknown."""

    def make(node: exp.Expression, of: Compile) -> Compiled:
        parts = [of(part) for part in node.flatten(unnest=False)]

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


def comparing(holds: Callable[[Any, Any], bool]) -> Form:
    def make(node: exp.Expression, of: Compile) -> Compiled:
        left, right = of(node.left), of(node.right)

        def compare(row: Row) -> bool | None:
            a, b = left(row), right(row)
            return None if a is None or b is None else holds(a, b)

        return compare

    return make


def same_or_not(yes: bool) -> Form:
    """Whether two values are equal, where NULL equals NULL."""

    def make(node: exp.Expression, of: Compile) -> Compiled:
        left, right = of(node.left), of(node.right)

        def same(row: Row) -> bool:
            a, b = left(row), right(row)
            equal = a is b if a is None or b is None else a == b
            return equal is yes

        return same

    return make


def is_(node: exp.Expression, of: Compile) -> Compiled:
    inner = of(node.this)
    wanted = bool(node.expression.this) if isinstance(node.expression, exp.Boolean) else None
    return lambda row: inner(row) is wanted


def in_(node: exp.Expression, of: Compile) -> Compiled:
    if not all(isinstance(item, exp.Literal) for item in node.expressions):
        return of(any_of(node))
    inner = of(node.this)
    values = {value_of(item) for item in node.expressions}
    return lambda row: None if (value := inner(row)) is None else value in values


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
