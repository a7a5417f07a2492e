"""Choices among values: CASE, COALESCE, NULLIF, LEAST and GREATEST."""

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from tests.meaning.forms import Compile, Compiled, Form, Row, Value


def case(node: exp.Expression, of: Compile) -> Compiled:
    asked, default = branches(node)
    ways = [(of(condition), of(answer)) for condition, answer in asked]
    otherwise = of(default)

    def case(row: Row) -> Value:
        for condition, answer in ways:
            if condition(row):
                return answer(row)  # type: ignore[no-any-return]
        return otherwise(row)  # type: ignore[no-any-return]

    return case


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


def coalesce(node: exp.Expression, of: Compile) -> Compiled:
    options = [of(option) for option in (node.this, *node.expressions)]
    return lambda row: next((value for option in options if (value := option(row)) is not None), None)


def nullif(node: exp.Expression, of: Compile) -> Compiled:
    left, right = of(node.this), of(node.expression)

    def differing(row: Row) -> Value:
        a, b = left(row), right(row)
        same = a is not None and b is not None and a == b
        return None if same else a

    return differing


def extreme(choose: Callable[..., Any]) -> Form:
    """The least or greatest of what is there."""

    def make(node: exp.Expression, of: Compile) -> Compiled:
        options = [of(option) for option in (node.this, *node.expressions)]

        def extreme(row: Row) -> Value:
            there = [value for option in options if (value := option(row)) is not None]
            return choose(there) if there else None

        return extreme

    return make
