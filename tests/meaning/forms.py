"""What the meaning of an expression is made of: functions of a row."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from sqlglot import exp

Value: TypeAlias = float | int | str | bool | None
Row: TypeAlias = Mapping[str, Value]
Compiled: TypeAlias = Callable[[Row], Any]
#: makes the meaning of a part
Compile: TypeAlias = Callable[[exp.Expression], Compiled]
#: makes the meaning of one kind of expression, out of those of its parts
Form: TypeAlias = Callable[[exp.Expression, Compile], Compiled]


def of_two(apply: Callable[[Any, Any], Any]) -> Form:
    """What is made of two values, None when one of them is."""

    def make(node: exp.Expression, of: Compile) -> Compiled:
        left, right = of(node.this), of(node.expression)

        def calculate(row: Row) -> Value:
            a, b = left(row), right(row)
            return None if a is None or b is None else _there(apply(a, b))

        return calculate

    return make


def of_one(apply: Callable[[Any], Any]) -> Form:
    """What is made of one value, None when it is."""

    def make(node: exp.Expression, of: Compile) -> Compiled:
        inner = of(node.this)
        return lambda row: None if (value := inner(row)) is None else _there(apply(value))

    return make


def _there(value: Any) -> Any:
    """What is no number is nothing."""
    return None if isinstance(value, float) and value != value else value
