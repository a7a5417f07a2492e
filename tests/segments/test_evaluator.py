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
    assert FRAME.select(rules.every().alias("s"))["s"].to_list() == [["b"], ["b", "five"], ["unknown"]]


def test_no_rules_list_nothing() -> None:
    assert FRAME.with_columns(Evaluator.of({}).every().alias("s"))["s"].to_list() == [[], [], []]


@pytest.mark.parametrize("rows", [1, 1_000])
def test_one_user_or_many_get_the_same_answer(rows: int) -> None:
    rules = Evaluator.of({"small": "x < 3", "rest": "otherwise"})
    many = pl.concat([FRAME] * rows)
    assert many.select(rules.first().alias("s"))["s"].to_list() == ["small", "rest", "rest"] * rows
