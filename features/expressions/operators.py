"""What each operator of an expression makes of values, a column at a time; total: what cannot be computed is NULL."""

import math
import re
from collections.abc import Callable
from functools import reduce
from operator import and_, or_
from typing import Any, TypeAlias

import numpy as np
from sqlglot import exp

from features.expressions.kinds import TEXTS
from features.expressions.values import Flags, Numbers, Texts, Truths, Value, choose, nothing

#: makes a value of the values of an operator's parts
Operator: TypeAlias = Callable[..., Value]

#: a text that is a number, and the numbers that fit the integers of SQL
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
LIMITS = {exp.DType.INT: 2.0**31, exp.DType.BIGINT: 2.0**63}


def every(*parts: Truths) -> Truths:
    """AND: one false decides; NULL where nothing decides and something is unknown."""
    yes = parts[0].yes
    for part in parts[1:]:
        yes = yes & part.yes
    return Truths(yes, lambda: reduce(or_, [p.no for p in parts]))


def some(*parts: Truths) -> Truths:
    """OR: one true decides."""
    yes = parts[0].yes
    for part in parts[1:]:
        yes = yes | part.yes
    return Truths(yes, lambda: reduce(and_, [p.no for p in parts]))


def negated(part: Truths) -> Truths:
    """NOT."""
    return Truths(part.no, part.yes)


def known(yes: Flags) -> Truths:
    """A question that always has an answer."""
    return Truths(yes, lambda: ~np.asarray(yes))


def equal(a: Value, b: Value) -> Truths:
    """``=``."""
    if isinstance(a, Texts) or isinstance(b, Texts):
        return _of_texts(lambda one, other: one == other, a, b)
    if isinstance(a, Truths) and isinstance(b, Truths):
        one, other = a, b
        return Truths((one.yes & other.yes) | (one.no & other.no), lambda: (one.yes & other.no) | (one.no & other.yes))
    if a is None or b is None or isinstance(a, Truths) or isinstance(b, Truths):
        return Truths(np.array(False), np.array(False))
    left, right = a, b
    return Truths(np.equal(left, right), lambda: np.less(left, right) | np.greater(left, right))


def differs(a: Value, b: Value) -> Truths:
    """``<>``."""
    return negated(equal(a, b))


def same(a: Value, b: Value) -> Truths:
    """``IS NOT DISTINCT FROM``: NULL equals NULL."""
    return known(equal(a, b).yes | (nothing(a) & nothing(b)))


def _comparing(numbers: Any, otherwise: Any, texts: Callable[[str, str], bool]) -> Callable[[Any, Any], Truths]:
    def compare(a: Value, b: Value) -> Truths:
        if isinstance(a, Texts):
            return _of_texts(texts, a, b)
        return Truths(numbers(a, b), lambda: otherwise(a, b))

    return compare


def _of_texts(holds: Callable[[str, str], bool], a: Value, b: Value) -> Truths:
    """Ask two texts a question; one that is the same for all rows is asked once with each value of the other."""
    if not isinstance(a, Texts) or not isinstance(b, Texts):
        return Truths(np.array(False), np.array(False))
    for one, other, turned in ((a, b, False), (b, a, True)):
        if other.single:
            if other.codes < 0:
                return Truths(np.array(False), np.array(False))
            value = other.values[int(other.codes)]
            return one.test(lambda text: holds(value, text) if turned else holds(text, value))  # noqa: B023
    pairs = [None if x is None or y is None else holds(x, y) for x, y in zip(a.to_list(), b.to_list(), strict=True)]
    return Truths(np.array([p is True for p in pairs]), np.array([p is False for p in pairs]))


def begins(a: Value, b: Value) -> Truths:
    """``STARTS_WITH``."""
    return _of_texts(str.startswith, a, b)


def joined(a: Value, b: Value) -> Value:
    """``||``."""
    if not isinstance(a, Texts) or not isinstance(b, Texts):
        return None
    if b.single and b.codes >= 0:
        return a.map(lambda text: text + b.values[int(b.codes)])
    if a.single and a.codes >= 0:
        return b.map(lambda text: a.values[int(a.codes)] + text)
    count = max(a.codes.size, b.codes.size)
    both = zip(*(texts.to_list() * (count if texts.single else 1) for texts in (a, b)), strict=True)
    return Texts.of([None if x is None or y is None else x + y for x, y in both])


def quotient(a: Numbers, b: Numbers) -> Numbers:
    """``/``: NULL by 0."""
    return np.where(np.equal(b, 0), np.nan, np.divide(a, b))


def logarithm(a: Numbers) -> Numbers:
    """``LN``: NULL of what is not above 0."""
    return np.where(np.greater(a, 0), np.log(a), np.nan)


def rounded(a: Numbers, places: int) -> Numbers:
    """``ROUND``: halves away from 0."""
    scale = 10.0**places
    scaled = np.abs(a * scale)
    low = np.floor(scaled)
    near = np.copysign(low + (scaled - low >= 0.5), a) / scale
    return np.where(np.isfinite(scaled), near, a)


def cast(a: Value, to: exp.DType) -> Value:
    """``CAST``: NULL of what is not a number, or too large for the type."""
    if to in TEXTS or a is None:
        return a
    number = a.measure(_read) if isinstance(a, Texts) else a
    number = np.where(np.isfinite(number), number, np.nan)  # type: ignore[arg-type]
    if to not in LIMITS:
        return number
    near, limit = np.rint(number), LIMITS[to]
    return np.where((near >= -limit) & (near < limit), near, np.nan)


def _read(text: str) -> float:
    text = text.strip(" ")
    return float(text) if NUMBER.fullmatch(text) else math.nan


def like(a: Value, pattern: str, *, ignoring_case: bool) -> Truths:
    """``LIKE`` or ``ILIKE``."""
    fold = str.lower if ignoring_case else str
    asked = "".join({"%": ".*", "_": "."}.get(char) or re.escape(char) for char in fold(pattern))
    holds = re.compile(asked, re.DOTALL).fullmatch
    return a.test(lambda text: holds(fold(text)) is not None) if isinstance(a, Texts) else equal(a, None)


def is_truth(a: Truths, wanted: bool) -> Truths:
    """``IS TRUE`` or ``IS FALSE``."""
    return known(a.yes if wanted else a.no)


def is_null(a: Value) -> Truths:
    """``IS NULL``."""
    return known(nothing(a))


def within(a: Value, values: list[float | str]) -> Truths:
    """``IN`` a list of literals."""
    if isinstance(a, Texts):
        among = set(values)
        return a.test(lambda text: text in among)
    return some(*(equal(a, np.array(value)) for value in values))


def coalesced(*options: Value) -> Value:
    """``COALESCE``."""
    return reduce(lambda later, option: choose(~nothing(option), option, later), reversed(options))


def nullified(a: Value, b: Value) -> Value:
    """``NULLIF``."""
    return choose(equal(a, b).yes, None, a)


def case(default: Value, *ways: Value) -> Value:
    """``CASE``: conditions and answers in turn, after what is answered when none holds."""
    answer = default
    for asked, then in reversed(list(zip(ways[::2], ways[1::2], strict=True))):
        answer = choose(asked.yes if isinstance(asked, Truths) else np.array(False), then, answer)
    return answer


def between(a: Value, least: Value, most: Value) -> Truths:
    """``BETWEEN``."""
    return every(at_least(a, least), at_most(a, most))


less = _comparing(np.less, np.greater_equal, lambda a, b: a < b)
at_most = _comparing(np.less_equal, np.greater, lambda a, b: a <= b)
greater = _comparing(np.greater, np.less_equal, lambda a, b: a > b)
at_least = _comparing(np.greater_equal, np.less, lambda a, b: a >= b)
