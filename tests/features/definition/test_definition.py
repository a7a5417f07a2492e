"""Mistakes in the definition are found when it is loaded, and named by key, value and what is allowed."""

from pathlib import Path

import pytest
import yaml

from features.definition import Definition, load_definition
from features.definition.columns import feature_set
from features.errors import DefinitionError
from tests.worlds import DEFINITION

ROOT = Path(__file__).parents[3]


def write(folder: Path, **changes: object) -> Path:
    path = folder / "propensity.yaml"
    path.write_text(yaml.safe_dump(DEFINITION | changes, sort_keys=False))
    return path


@pytest.mark.parametrize("file", [*sorted(ROOT.glob("examples/*/propensity.yaml")), ROOT / "propensity.yaml"])
def test_the_shipped_definitions_load(file: Path) -> None:
    definition = load_definition(file)
    assert definition.version.startswith(f"{definition.name}@")
    assert len(set(feature_set(definition).numeric)) == len(feature_set(definition).numeric)


SIGNALS = DEFINITION["signals"]
OUTCOME = {"will_not": "visit", "within": "14d", "among": "days_since_visit < 28"}

MISTAKES = {
    "a list of packs with roles": ({"packs": [{"lifecycle": {}}, ["x"]]}, "a list of packs holds their names alone"),
    "outcomes that are no mapping": ({"outcomes": [3]}, "outcomes: it must be an object: keys with values, found [3]"),
    "an outcome that is no mapping": ({"outcomes": {"churn": 3}}, "outcomes.churn: "),
    "key of before": (
        {"segments": {"away": {"when": "tenure_days > 9", "until": "tenure_days > 99"}}},
        "segments.away.until: this key is called 'exit_when' now",
    ),
    "unknown key": ({"colour": 1}, "colour: unknown key; allowed: name, events"),
    "unknown nested key": ({"snapshots": {"strides": "7d"}}, "snapshots.strides: unknown key; allowed: stride, count"),
    "unknown key in a named part": (
        {"outcomes": {"churn": OUTCOME | {"in": "14d"}}},
        "outcomes.churn.in: unknown key; allowed: within, among, gap, matures_after, monotone, will, will_not",
    ),
    "unknown key in tiers": (
        {"outcomes": {"churn": OUTCOME | {"tiers": {"by": "lift", "top": 3}}}},
        "top: unknown key",
    ),
    "wrong kind of tiers": ({"outcomes": {"churn": OUTCOME | {"tiers": {"by": "luck"}}}}, "'luck'"),
    "a holdout of what is not there": (
        {"transitions": {"holdouts": {"tiers.buy": 0.2}}},
        "transitions.holdouts: there is no 'tiers.buy'. Fix: choose from rfm, states, tiers.churn",
    ),
    "a segment's holdout elsewhere": (
        {"segments": {"away": "tenure_days > 9"}, "transitions": {"holdouts": {"segments.away": 0.2}}},
        "there is no 'segments.away'. Fix: write segments.away.holdout",
    ),
    "missing key": ({"outcomes": {"churn": {"will_not": "visit", "within": "14d"}}}, "outcomes.churn.among: required"),
    "not a span": ({"outcomes": {"churn": OUTCOME | {"within": "soon"}}}, "'soon' is not a span of time"),
    "a refund of what has no value": (
        {"signals": SIGNALS | {"cart_add": {"where": "event = 'cart_add'", "refund": "event = 'cart_cleared'"}}},  # type: ignore[operator]
        "signals.cart_add: 'refund' (event = 'cart_cleared') takes value away, and the signal has no 'value'; add one",
    ),
    "a sum of what has no value": (
        {"outcomes": {"spend": {"sum_of": "visit", "within": "14d", "among": "tenure_days >= 0"}}},
        "outcomes.spend sums signal 'visit', which has no 'value'",
    ),
    "a sum without an end": (
        {"outcomes": {"spend": {"sum_of": "purchase", "within": "0d", "among": "tenure_days >= 0"}}},
        "outcomes.spend: 'within' must be longer than 0",
    ),
    "a sum with tiers of likelihoods": (
        {
            "outcomes": {
                "spend": {"sum_of": "purchase", "within": "7d", "among": "tenure_days >= 0", "tiers": {"by": "lift"}}
            }
        },
        "outcomes.spend.tiers.by: unknown key; allowed: high, low",
    ),
    "value tiers that overlap": (
        {
            "outcomes": {
                "spend": {
                    "sum_of": "purchase",
                    "within": "7d",
                    "among": "tenure_days >= 0",
                    "tiers": {"high": 0.6, "low": 0.5},
                }
            }
        },
        "more than all users",
    ),
    "amounts apart from the other outcomes": ({"values": {}}, "values: unknown key; allowed: name, events"),
    "an unknown key of an amount": (
        {"outcomes": {"spend": {"sum_of": "purchase", "within": "7d", "among": "tenure_days >= 0", "will": "visit"}}},
        "outcomes.spend.will: unknown key; allowed: within, among, gap, matures_after, monotone, sum_of, tiers",
    ),
    "nothing asked": ({"outcomes": {}}, "ask at least one question"),
    "two questions": ({"outcomes": {"churn": OUTCOME | {"will": "visit"}}}, "exactly one of 'will' and 'will_not'"),
    "unknown signal": (
        {"outcomes": {"churn": OUTCOME | {"will_not": "dance"}}},
        "the signals are visit, cart_add, purchase",
    ),
    "no sign of life": (
        {"signals": {"visit": {"where": "event = 'visit'"}}},
        "exactly one signal must say 'activity: true'",
    ),
    "windows in disorder": ({"windows": [7, 1]}, "'windows' must ascend"),
    "windows that are no days": ({"windows": ["36h"]}, "must be whole days"),
    "states without an end": ({"states": {"new": "tenure_days < 7"}}, "the last of 'states' must be 'otherwise'"),
    "rfm window": ({"rfm": {"signal": "visit", "window": "90d"}}, "rfm.window is 90d; it must be one of the windows"),
    "rfm without money": ({"rfm": {"signal": "visit", "window": "30d", "money": "visit"}}, "which has no 'value'"),
    "rfm cuts": ({"rfm": {"signal": "visit", "window": "30d", "recency_cuts": [4, 3, 2, 1]}}, "must ascend"),
    "a name with blanks": ({"name": "my shop"}, "name: String should match pattern"),
    "unknown column": (
        {"segments": {"x": "purchase_cuont_7d > 1"}},
        "segments.x: unknown column 'purchase_cuont_7d'",
    ),
    "label as a feature": ({"outcomes": {"churn": OUTCOME | {"among": "churn_probability > 1"}}}, "unknown column"),
    "not a yes/no question": ({"segments": {"x": "visit_count_7d"}}, "is not a yes/no question"),
    "number in place of truth": ({"segments": {"x": "visit_count_7d + 1"}}, "is not a yes/no question"),
    "text against number": ({"segments": {"x": "visit_count_7d > 'many'"}}, "segments.x"),
    "sub-query": ({"segments": {"x": "1 IN (SELECT 1)"}}, "which is not allowed here"),
    "statement": ({"segments": {"x": "1 = 1; DROP TABLE users"}}, "2 statements"),
    "function": ({"segments": {"x": "read_text('/etc/passwd') = 'x'"}}, "which is not allowed here"),
    "aggregate": ({"segments": {"x": "SUM(visit_count_7d) > 1"}}, "which is not allowed here"),
    "nonsense": ({"segments": {"x": "AND OR"}}, "cannot parse"),
    "derived over a segment": ({"derived": {"x": "churn_probability * 2"}}, "derived.x: unknown column"),
    "derived text": ({"derived": {"x": "CASE WHEN visit_count_7d > 1 THEN 'a' END"}}, "derived.x"),
    "derived that hides a feature": ({"derived": {"tenure_days": "visit_count_7d"}}, "name of another column"),
    "a tier there is not": (
        {"segments": {"x": "churn_tier = 'most_likly'"}},
        "churn_tier is never 'most_likly'. Fix: nearest: most_likely",
    ),
    "a tier among others": ({"segments": {"x": "churn_tier IN ('most_likely', 'high')"}}, "churn_tier is never 'high'"),
    "a state there is not": (
        {"states": {"new": "tenure_days < 7", "active": "otherwise"}, "segments": {"x": "NOT ('nwe' = state)"}},
        "state is never 'nwe'. Fix: nearest: new",
    ),
    "a state of a pack that is left out": (
        {"packs": {"lifecycle": {"without": ["loyal"]}}, "segments": {"x": "state = 'loyal'"}},
        "state is never 'loyal'",
    ),
    "an RFM group there is not": (
        {
            "rfm": {"signal": "visit", "window": "30d"},
            "segments": {"x": "CASE rfm_group WHEN 'Champion' THEN 1 END = 1"},
        },
        "rfm_group is never 'Champion'. Fix: nearest: Champions",
    ),
    "a state in a lead": (
        {"leads": {"l": {"outcome": "churn", "threshold": 1, "points": [{"when": "state = 'x'", "points": 1}]}}},
        "state is never 'x'",
    ),
    "a comment": (
        {"segments": {"x": "visit_count_7d > 1 -- often"}},
        "holds a comment. Fix: write it as a comment of YAML",
    ),
    "a comment within": ({"segments": {"x": "visit_count_7d /* or */ > 1"}}, "holds a comment"),
    "nested parentheses": ({"segments": {"x": "(" * 300 + "1 = 1" + ")" * 300}}, "is nested too deeply"),
    "four hundred NOTs": ({"segments": {"x": "NOT " * 400 + "1 = 1"}}, "is nested too deeply"),
    "nested calculations": ({"segments": {"x": "ABS(" * 40 + "1" + ")" * 40 + " = 1"}}, "is nested too deeply"),
    "a long sum": ({"segments": {"x": " + ".join(["1"] * 2_000) + " > 1"}}, "is nested too deeply"),
    "a long expression": ({"segments": {"x": "1 = 1 OR " * 4_000 + "1 = 1"}}, "at most 20,000 are allowed"),
    "a span of ages": (
        {"outcomes": {"churn": OUTCOME | {"within": 99999999999999999999}}},
        "outcomes.churn.within: 99999999999999999999 is longer than 36525d",
    ),
    "a span of ages in words": ({"windows": ["99999999999999999999d"]}, "is not a span of time"),
    "points that are no number": (
        {"leads": {"l": {"outcome": "churn", "threshold": float("inf"), "points": [{"signal": "visit", "points": 1}]}}},
        "leads.l.threshold: it must be a number that is finite",
    ),
    "text against a number": ({"derived": {"x": "visit_count_7d * 'a'"}}, "'a'\" is text, not a number"),
}


@pytest.mark.parametrize(("changes", "answer"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named(tmp_path: Path, changes: dict[str, object], answer: str) -> None:
    with pytest.raises(DefinitionError) as error:
        load_definition(write(tmp_path, **changes))
    assert answer in str(error.value)
    assert error.value.fix
    assert "errors.pydantic.dev" not in str(error.value)
    assert len(str(error.value)) < 4_000


def test_unknown_columns_come_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="visit_count_7d"):
        load_definition(write(tmp_path, segments={"x": "visit_cuont_7d > 1"}))


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("name: [", "is not YAML"),
        ("just text", "holds text"),
        ("", "holds null"),
        ("name: a\nname: b", "name appears twice"),
        ("[" * 1_500, "is nested too deeply|is not YAML"),
        ("name: " + "{a: " * 1_500 + "1" + "}" * 1_500, "is nested too deeply"),
        ("name: " + "[" * 200 + "]" * 200, "name: it must be text, found"),
        ("windows: [2026-02-30]", "is not YAML"),
    ],
)
def test_a_file_that_is_no_definition(tmp_path: Path, content: str, answer: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(content)
    with pytest.raises(DefinitionError, match=answer):
        load_definition(path)


def test_what_aliases_make_large_is_shown_short(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 8)]
    path.write_text("\n".join([*bomb, "windows: *a7", "name: *a7"]))
    with pytest.raises(DefinitionError) as error:
        load_definition(path)
    assert len(str(error.value)) < 4_000


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot read"):
        load_definition(tmp_path / "none.yaml")


def test_the_version_changes_with_the_content_only(tmp_path: Path) -> None:
    first = load_definition(write(tmp_path))
    assert load_definition(write(tmp_path)).version == first.version
    assert load_definition(write(tmp_path, windows=[1, 7, 14, 30, 60])).version != first.version


def test_feature_names_are_derived(tmp_path: Path) -> None:
    names = feature_set(Definition.model_validate(DEFINITION)).read
    for name in ("visit_count_7d", "purchase_value_30d", "days_since_purchase", "cart_add_overdue", "visit_trend_7d",
                 "purchase_share_30d", "visit_night_share", "tenure_days", "purchase_decayed_14d"):  # fmt: skip
        assert name in names
    assert "cart_add_value_30d" not in names, "a signal without a value has no value columns"


def test_a_dumped_definition_loads_as_itself() -> None:
    definition = load_definition(ROOT / "propensity.yaml")
    assert Definition.model_validate(definition.model_dump()).model_dump() == definition.model_dump()
    assert Definition.model_validate_json(definition.model_dump_json()).version == definition.version


def test_mistakes_that_can_be_found_together_are_reported_together(tmp_path: Path) -> None:
    wrong = {
        "derived": {"odd": "visit_count_7d > 1"},
        "outcomes": {"churn": OUTCOME | {"among": "dance_count_7d > 0"}},
        "segments": {"buyers": "purchase_count_total > nothing", "late": "state = 'nosuch'"},
        "destinations": {},
    }
    with pytest.raises(DefinitionError) as caught:
        load_definition(write(tmp_path, **wrong))
    first, *lines = str(caught.value).splitlines()
    assert first == "4 mistakes:"
    for key, line in zip(
        ("derived.odd", "outcomes.churn.among", "segments.buyers", "segments.late"), lines, strict=True
    ):
        assert line.strip().startswith(key)


def test_names_that_do_not_meet_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as caught:
        load_definition(
            write(tmp_path, outcomes={"a": OUTCOME | {"will_not": "dance"}, "b": OUTCOME | {"will_not": "sing"}})
        )
    assert "outcomes.a asks about signal 'dance'" in str(caught.value)
    assert "outcomes.b asks about signal 'sing'" in str(caught.value)


@pytest.mark.parametrize("file", [*sorted(ROOT.glob("examples/*/propensity.yaml")), ROOT / "propensity.yaml"])
def test_what_the_service_shows_of_a_definition_loads_again(tmp_path: Path, file: Path) -> None:
    definition = load_definition(file)
    (tmp_path / "d.yaml").write_text(yaml.safe_dump(definition.as_file(), sort_keys=False, allow_unicode=True))
    again = load_definition(tmp_path / "d.yaml")
    assert again.version == definition.version
    assert list(again.outcomes) == list(definition.outcomes)


def test_a_copy_of_a_definition_has_a_feature_set_of_its_own() -> None:
    definition = load_definition(ROOT / "propensity.yaml")
    before = feature_set(definition)
    fewer = definition.model_copy(update={"windows": definition.windows[:-1]})
    assert len(feature_set(fewer).numeric) < len(before.numeric)
    assert feature_set(definition) == before
