"""Literals, and what is calculated of one value: numbers rounded, texts matched, either cast."""

import math
import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from features.expressions.kinds import TEXTS
from tests.meaning.forms import Compile, Compiled, Form, Value, of_one

#: a text that is a number, and the numbers that fit the integers of SQL
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
LIMITS = {exp.DType.INT: 2.0**31, exp.DType.BIGINT: 2.0**63}


def value_of(literal: exp.Expression) -> Value:
    """The text or number that a literal is."""
    text = str(literal.this)
    return text if literal.is_string else float(text)


def whole(value: float, down: Callable[[float], int]) -> float:
    return float(down(value)) if math.isfinite(value) else value


def logarithm(value: float) -> float | None:
    return math.log(value) if value > 0 else None


def rounded(node: exp.Expression, of: Compile) -> Compiled:
    places = node.args.get("decimals")
    scale = 10.0 ** (int(places.name) if places is not None else 0)

    def away(value: float) -> float:
        scaled = abs(value * scale)
        if not math.isfinite(scaled):
            return value
        low = math.floor(scaled)
        return math.copysign(low + (scaled - low >= 0.5), value) / scale

    return of_one(away)(node, of)


def cast(node: exp.Expression, of: Compile) -> Compiled:
    to = node.args["to"].this
    if to in TEXTS:
        return of(node.this)
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

    return of_one(number)(node, of)


def like(fold: Callable[[str], str]) -> Form:
    def make(node: exp.Expression, of: Compile) -> Compiled:
        holds = re.compile(pattern(fold(node.expression.name)), re.DOTALL).fullmatch
        return of_one(lambda text: holds(fold(text)) is not None)(node, of)

    return make


def pattern(like: str) -> str:
    """The regular expression that a pattern of LIKE is."""
    return "".join({"%": ".*", "_": "."}.get(char) or re.escape(char) for char in like)


def replaced(node: exp.Expression, of: Compile) -> Compiled:
    old, new = node.expression.name, node.args["replacement"].name
    return of_one(lambda text: text.replace(old, new))(node, of)
