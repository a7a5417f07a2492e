"""One evaluator: the first rule, every rule; null is not true."""

import polars as pl
import pytest

from segments.evaluator import Evaluator

FRAME = pl.DataFrame({"x": [1.0, 5.0, None], "name": ["a", "b", None]})


def test_the_first_rule_that_holds_wins() -> None:
    rules = Evaluator.of({"small": "x < 3", "any": "x > 0", "rest": "otherwise"})
    assert FRAME.select(rules.first())["literal"].to_list() == ["small", "any", "rest"]


def test_without_an_otherwise_some_have_no_name() -> None:
    assert FRAME.select(Evaluator.of({"small": "x < 3"}).first().alias("s"))["s"].to_list() == ["small", None, None]


def test_every_rule_that_holds_is_listed_in_order() -> None:
    rules = Evaluator.of({"b": "name IN ('a', 'b')", "five": "x BETWEEN 4 AND 6", "unknown": "x IS NULL"})
    assert rules.every(FRAME).to_list() == [["b"], ["b", "five"], ["unknown"]]


def test_lists_are_those_of_each_row_whatever_holds() -> None:
    rules = {f"x{i}": f"x > {i}" for i in range(100)} | {"all": "otherwise"}
    frame = pl.DataFrame({"x": [None, -1.0, 0.5, 250.0, *range(200)]}, schema={"x": pl.Float64})
    expected = [[n for i, n in enumerate(rules) if n == "all" or (x is not None and x > i)] for x in frame["x"]]
    assert Evaluator.of(rules).every(frame).to_list() == expected
    assert Evaluator.of(rules).every(frame[:0]).to_list() == []


def test_no_rules_list_nothing() -> None:
    assert Evaluator.of({}).every(FRAME).to_list() == [[], [], []]


@pytest.mark.parametrize("rows", [1, 1_000])
def test_one_user_or_many_get_the_same_answer(rows: int) -> None:
    rules = Evaluator.of({"small": "x < 3", "rest": "otherwise"})
    many = pl.concat([FRAME] * rows)
    assert many.select(rules.first().alias("s"))["s"].to_list() == ["small", "rest", "rest"] * rows
