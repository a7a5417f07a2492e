"""One evaluator: the first rule, every rule; null is not true."""

import polars as pl
import pytest

from features.expressions.program import columns_of
from segments.evaluator import Evaluator

FRAME = pl.DataFrame({"x": [1.0, 5.0, None], "name": ["a", "b", None]})


def first(rules: dict[str, str], frame: pl.DataFrame = FRAME) -> list[str | None]:
    evaluator = Evaluator(rules)
    return evaluator.first(columns_of(frame, evaluator.columns), len(frame)).to_list()


def every(rules: dict[str, str], frame: pl.DataFrame = FRAME) -> list[list[str]]:
    evaluator = Evaluator(rules)
    found = evaluator.every(columns_of(frame, evaluator.columns), len(frame))
    assert found.to_series().to_list() == found.to_list()
    return found.to_list()


def test_the_first_rule_that_holds_wins() -> None:
    assert first({"small": "x < 3", "any": "x > 0", "rest": "otherwise"}) == ["small", "any", "rest"]


def test_without_an_otherwise_some_have_no_name() -> None:
    assert first({"small": "x < 3"}) == ["small", None, None]
    assert first({}) == [None, None, None]


def test_every_rule_that_holds_is_listed_in_order() -> None:
    rules = {"b": "name IN ('a', 'b')", "five": "x BETWEEN 4 AND 6", "unknown": "x IS NULL"}
    assert every(rules) == [["b"], ["b", "five"], ["unknown"]]


def test_lists_are_those_of_each_row_whatever_holds() -> None:
    rules = {f"x{i}": f"x > {i}" for i in range(100)} | {"all": "otherwise"}
    frame = pl.DataFrame({"x": [None, -1.0, 0.5, 250.0, *range(200)]}, schema={"x": pl.Float64})
    expected = [[n for i, n in enumerate(rules) if n == "all" or (x is not None and x > i)] for x in frame["x"]]
    assert every(rules, frame) == expected
    assert every(rules, frame[:0]) == []


def test_no_rules_list_nothing() -> None:
    assert every({}) == [[], [], []]


@pytest.mark.parametrize("rows", [1, 1_000])
def test_one_user_or_many_get_the_same_answer(rows: int) -> None:
    many = pl.concat([FRAME] * rows)
    assert first({"small": "x < 3", "rest": "otherwise"}, many) == ["small", "rest", "rest"] * rows
