import copy
import json

import pytest
import sqlglot

from features.definition.file.load import load_definition
from features.definition.sections.rule import OTHERWISE, predicates
from features.expressions.dialects import written
from features.expressions.expression import Expression
from segments.dependencies import models_in
from segments.evaluator import Evaluator
from segments.transitions.membership import rule_digests
from segments.transitions.next_change import TimeEdges
from tests.conftest import ROOT


def test_nothing_is_parsed_again_once_the_definition_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    definition = load_definition(ROOT / "propensity.yaml")

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"parsed again: {args}")

    monkeypatch.setattr(sqlglot, "parse", refuse)
    states = predicates({name: rule for name, rule in definition.states.items() if rule.when != OTHERWISE})
    Evaluator({**states, **predicates(definition.segments)})
    Evaluator({name: outcome.among for name, outcome in definition.outcomes.items()})
    TimeEdges(definition)
    rule_digests(definition)
    assert any(models_in(rule, definition) for rule in definition.segments.values())
    assert [written(sql, "spark") for sql in definition.derived.values()]


def test_an_expression_is_its_text_wherever_text_is_wanted() -> None:
    sql = Expression("a > 1 AND b LIKE 'x%'")
    assert sql == "a > 1 AND b LIKE 'x%'"
    assert json.dumps([sql]) == json.dumps([str(sql)])
    assert type(str(sql)) is str
    assert Expression.of(sql) is sql
    twin = copy.deepcopy(sql)
    assert (type(twin), twin) == (Expression, sql)
    assert twin.columns == {"a", "b"}


def test_its_parts() -> None:
    sql = Expression("a > 1 AND (b = 2 OR c = 3) AND NOT d")
    assert sql.columns == {"a", "b", "c", "d"}
    assert sql.conditions == ["a > 1", "b = 2 OR c = 3", "NOT d"]
    assert sql.conditions[1].columns == {"b", "c"}
    assert [Expression(text).is_column for text in ("a", '"a b"', "a + 1")] == [True, True, False]


@pytest.mark.parametrize("text", ["a >", "a; b", ";", "(" * 500 + "a" + ")" * 500])
def test_what_is_no_expression_names_no_columns(text: str) -> None:
    assert (Expression(text).columns, Expression(text).is_column) == (frozenset(), False)


def test_a_definition_holds_expressions_and_dumps_texts() -> None:
    definition = load_definition(ROOT / "propensity.yaml")
    held = [*definition.derived.values(), *(rule.when for rule in definition.segments.values())]
    held += [outcome.among for outcome in definition.outcomes.values()] + [s.where for s in definition.signals.values()]
    assert all(type(sql) is Expression for sql in held)
    content = definition.model_dump()
    shown = [*content["derived"].values(), *(rule["when"] for rule in content["segments"].values())]
    assert all(type(text) is str for text in shown)
