"""Sentences and SQL say the same: trees come back, and rules written by hand find the same users as their sentences."""

import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from features.definition import Definition, load_definition
from features.definition.file.load import segment_schema
from features.definition.sections.rule import OTHERWISE
from features.errors import DefinitionError
from features.expressions.expression import Expression
from features.expressions.program import Program
from features.expressions.values import Value
from features.rows import FeatureRows
from serving.audience.rule import checked
from serving.audience.sentences.read import of_sql
from serving.audience.sentences.tree import Did, Group, Member, Node, Recency, Since, Sql, Then
from serving.audience.sentences.words import ENGLISH, words_of
from serving.audience.sentences.write import to_sql
from serving.scoring.scores import Scored
from tests.conftest import ROOT
from tests.serving.audience.trees import leaves, plain, trees

DEMO = load_definition(ROOT / "propensity.yaml")
NODES: TypeAdapter[Node] = TypeAdapter(Node)


def definitions() -> Iterator[Path]:
    yield ROOT / "propensity.yaml"
    yield from sorted((ROOT / "examples").glob("*/*.yaml"))


def rules(definition: Definition) -> dict[str, Expression]:
    """All rules of a definition, those of its packs, too."""
    found = {f"states.{name}": rule.when for name, rule in definition.states.items() if rule.when != OTHERWISE}
    for name, rule in definition.segments.items():
        found[f"segments.{name}"] = rule.when
        if rule.exit_when is not None:
            found[f"segments.{name}.exit_when"] = rule.exit_when
    found |= {f"outcomes.{name}": rule.among for name, rule in definition.outcomes.items()}
    return found


def sql_leaves(node: Node) -> list[str]:
    if isinstance(node, Group):
        return [sql for part in node.of for sql in sql_leaves(part)]
    return [node.sql] if isinstance(node, Sql) else []


@pytest.fixture(scope="module")
def columns(scored: Scored, rows: FeatureRows) -> dict[str, Value]:
    return scored.values(segment_schema(DEMO))


def same_users(one: str, other: str, columns: dict[str, Value], count: int) -> None:
    left, right = Program({"": one}).truths(columns, count), Program({"": other}).truths(columns, count)
    assert np.array_equal(left, right), (one, other)


@given(tree=trees(DEMO))
def test_trees_come_back_from_their_sql_and_from_json(tree: Node) -> None:
    sql = to_sql(tree, DEMO)
    checked(sql, DEMO)
    assert of_sql(sql, DEMO) == plain(of_sql(sql, DEMO))
    assert to_sql(of_sql(sql, DEMO), DEMO) == to_sql(plain(tree), DEMO)
    assert of_sql(to_sql(plain(tree), DEMO), DEMO) == plain(tree)
    assert NODES.validate_json(NODES.dump_json(tree)) == tree
    assert NODES.validate_python(NODES.dump_python(tree)) == tree


@given(data=st.data())
def test_a_tree_that_was_read_finds_the_same_users(
    data: st.DataObject, columns: dict[str, Value], rows: FeatureRows
) -> None:
    tree = data.draw(trees(DEMO))
    sql = to_sql(tree, DEMO)
    same_users(sql, to_sql(of_sql(sql, DEMO), DEMO), columns, len(rows))


def test_rules_written_by_hand_find_the_same_users_as_sentences(columns: dict[str, Value], rows: FeatureRows) -> None:
    for sql in rules(DEMO).values():
        same_users(sql, to_sql(of_sql(sql, DEMO), DEMO), columns, len(rows))


@pytest.mark.parametrize("path", list(definitions()), ids=lambda path: path.parent.name)
def test_rules_written_by_hand_are_sentences_where_possible(path: Path) -> None:
    definition = load_definition(path)
    stay = set[str]()
    for key, sql in rules(definition).items():
        node = of_sql(sql, definition)
        again = to_sql(node, definition)
        assert of_sql(again, definition) == node, key
        if key.startswith("segments"):
            checked(again, definition)
        stay |= set(sql_leaves(node))
        assert words_of(node, definition)
    # what compares a column with several others
    assert all("*" in sql or "days_since" in sql or "LOWER" in sql for sql in stay), stay


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("purchase_count_60d >= 3", "did purchase at least 3 times in the last 60 days"),
        ("3 <= purchase_count_60d", "did purchase at least 3 times in the last 60 days"),
        ("purchase_count_60d = 0", "did not do purchase in the last 60 days"),
        ("purchase_count_total = 0", "never did purchase"),
        ("visit_active_days_7d < 2", "did visit on less than 2 days in the last 7 days"),
        ("visit_count_2h > 0", "did visit more than 0 times in the last 2 hours"),
        ("purchase_count_60d >= 1", "did purchase at least 1 time in the last 60 days"),
        ("visit_count_1d BETWEEN 0 AND 1", "did visit between 0 and 1 time in the last day"),
        ("days_since_visit < 1", "the last visit was less than 1 day ago"),
        ("purchase_value_total > 99.5", "value of purchase adds up to more than 99.5 ever"),
        ("days_since_visit >= 14", "the last visit was at least 14 days ago"),
        ("days_since_comeback_visit < 7", "the first visit after a long absence was less than 7 days ago"),
        ("purchase_count_total = 0 OR days_since_purchase > days_since_cart_add",
         "did not do purchase since the last cart_add"),
        ("days_since_visit >= days_since_uninstall", "did uninstall since the last visit"),
        ("days_since_cart_add > days_since_purchase AND days_since_cart_add - days_since_purchase <= 7",
         "did cart_add, then purchase within 7 days"),
        ("state IN ('at_risk', 'new')", "state is one of at_risk, new"),
        ("plan <> 'gold'", "plan is not gold"),
        ("plan IS NULL", "plan is not known"),
        ("NOT plan IS NULL", "plan is known"),
        ("churn_tier = 'most_likely'", "tier of churn is most_likely"),
        ("churn_probability BETWEEN 0.1 AND 0.5", "probability of churn is between 0.1 and 0.5"),
        ("spend_amount > 20", "expected spend is more than 20"),
        ("ready_to_buy_points >= 50", "ready_to_buy has at least 50 points"),
        ("buy_rate > -1", "buy_rate is more than -1"),
        ("rfm_group NOT IN ('Champions', 'Promising')", "RFM group is none of Champions, Promising"),
        ("purchase_value_total >= 100 * purchase_count_total", "purchase_value_total >= 100 * purchase_count_total"),
    ],
)  # fmt: skip
def test_conditions_in_words(sql: str, expected: str) -> None:
    assert words_of(of_sql(checked(sql, DEMO), DEMO), DEMO) == expected


def test_members_of_other_segments_are_known_again_until_those_change() -> None:
    sql = checked("segments.repeat_buyer AND NOT segments.leave_in_peace AND tenure_days > 7", DEMO)
    group = of_sql(sql, DEMO)
    assert isinstance(group, Group)
    assert group.of[:2] == [Member(segment="repeat_buyer"), Member(segment="leave_in_peace", inside=False)]
    other = DEMO.model_copy(update={"segments": {k: v for k, v in DEMO.segments.items() if k != "repeat_buyer"}})
    assert sql_leaves(of_sql(sql, other)) == [f"({DEMO.segments['repeat_buyer'].when}) IS TRUE"]
    assert of_sql(DEMO.segments["repeat_buyer"].when, DEMO) != Member(segment="repeat_buyer"), (
        "it is no member of itself"
    )


def test_other_words_may_be_given() -> None:
    german = {key: f"{key}: {template}" for key, template in ENGLISH.items()}
    node = Did(signal="purchase", comparison="at_least", number=3, window="60d")
    expected = "did.times: did Kauf limit.at_least: at least 3 times window.days: in the last 60 days"
    assert words_of(node, DEMO.model_copy(update={"wording": {"name.purchase": "Kauf"}}), german) == expected


def test_a_language_need_not_have_other_words_for_one() -> None:
    catalogue = {key: text for key, text in ENGLISH.items() if not key.endswith(".one")}
    node = Did(signal="purchase", comparison="at_least", number=1, window="1d")
    assert words_of(node, DEMO, catalogue) == "did purchase at least 1 times in the last 1 days"


@given(leaf=leaves(DEMO))
def test_every_condition_has_words_and_no_field_is_left_open(leaf: Node) -> None:
    assert words_of(leaf, DEMO)


def test_every_template_is_well_formed() -> None:
    for template in ENGLISH.values():
        assert all(conversion is None and not form for _, _, form, conversion in string.Formatter().parse(template))


@pytest.mark.parametrize(
    "node",
    [
        Did(signal="purchase", window="61d", comparison="at_least", number=1),
        Recency(signal="bought", comparison="at_least", number=1),
        Recency(signal="visit", moment="last_kept", comparison="at_least", number=1),
        Since(signal="visit", since="bought", did=True),
        Then(first="bought", second="visit", days=1),
        Member(segment="buyers"),
    ],
)
def test_what_the_definition_does_not_have(node: Node) -> None:
    with pytest.raises(DefinitionError, match="Fix: "):
        to_sql(node, DEMO)


@pytest.mark.parametrize(
    "json",
    [
        '{"kind": "group", "how": "all", "of": []}', '{"kind": "state", "values": []}',
        '{"kind": "did", "signal": "visit", "comparison": "between", "number": 1}',
        '{"kind": "did", "signal": "visit", "comparison": "at_least", "number": 1, "upto": 2}',
        '{"kind": "did", "signal": "visit", "comparison": "at_least", "number": "1"}', '{"kind": "what"}',
        '{"kind": "did_not", "signal": "visit", "more": 1}',
    ],
)  # fmt: skip
def test_trees_are_strict(json: str) -> None:
    with pytest.raises(ValidationError):
        NODES.validate_json(json)
