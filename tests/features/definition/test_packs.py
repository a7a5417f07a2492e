"""Packs fill a definition's states and segments in its own words, and say what cannot apply."""

from pathlib import Path

import polars as pl
import pytest
import yaml

from features.definition import Definition, load_definition
from features.definition.packs.include import PACKS, pack_of
from features.errors import DefinitionError
from features.expressions.program import holds
from tests.worlds import DEFINITION

WIDE = {
    "signals": {
        name: {"where": f"event = '{name}'", **({"value": "revenue"} if name in ("order", "payment") else {})}
        for name in ("visit", "leave", "cart", "removed", "order", "discounted", "trial", "subscribe", "payment",
                     "core", "recurring", "sign_up", "click", "call_to_action", "begin", "complete", "search", "listen")
    },
    "traits": {"path": "t.parquet", "columns": {"user": "u", "known": "k"}, "fields": ["plan", "persona"]},
    "windows": [1, 7, 14, 28, 30, 90],
    "rfm": {"signal": "visit", "window": "90d", "money": "order"},
    "outcomes": {
        "churn": {"will_not": "visit", "within": "14d", "among": "days_since_visit < 28"},
        "purchase": {"will": "order", "within": "7d", "among": "days_since_visit < 28"},
        "uninstall": {"will": "leave", "within": "14d", "among": "days_since_visit < 28"},
        "spend": {"sum_of": "order", "within": "30d", "among": "days_since_visit < 28"},
    },
}  # fmt: skip
WIDE["signals"]["visit"]["activity"] = True  # type: ignore[index]
WIDE["signals"]["recurring"] |= {"value": "revenue", "recurring": {"months": "1"}}  # type: ignore[index]


def load(folder: Path, **changes: object) -> Definition:
    path = folder / "propensity.yaml"
    path.write_text(yaml.safe_dump(DEFINITION | changes, sort_keys=False))
    return load_definition(path)


def test_the_settings_of_before_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"returned_within.*resurrected_for"):
        load(tmp_path, packs={"lifecycle": {"settings": {"returned_within": "7d"}}})


def test_with_every_role_filled_every_entry_applies(tmp_path: Path) -> None:
    packs = {name: {} for name in PACKS} | {"onboarding": {"roles": {"purposes": ["search", "listen"]}}}
    definition = load(tmp_path, **WIDE, packs=packs)
    assert definition.left_out == ()
    assert list(definition.states) == ["churned", "dormant", "at_risk", "resurrected", "new", "loyal", "active"]
    named = {key for name in PACKS for key in pack_of(name).segments} - {"mostly"}
    assert set(definition.segments) == named | {"mostly_search", "mostly_listen"}
    for rule in [*definition.states.values(), *definition.segments.values()]:
        assert rule.about
        assert rule.playbook is not None
        assert rule.playbook.avoid
        assert rule.metrics
        assert "{" not in rule.when


def test_what_cannot_apply_is_said_and_not_guessed(tmp_path: Path) -> None:
    roles = {"cart": "cart_add", "order": "purchase"}
    definition = load(tmp_path, packs={"lifecycle": {}, "commerce": {"roles": roles}, "conflicts": {}})
    why = {item.entry: item.why for item in definition.left_out}
    assert why["price_sensitive"] == "roles.discounted is not filled (a purchase with a discount or a coupon)"
    assert why["loyal"] == "the definition yields no rfm_group", "no rfm rule"
    assert why["repeat_buyer"] == "the definition yields no purchase_count_90d", "no such window"
    assert why["champion_at_risk"] == "the definition yields no rfm_group"
    assert "at_risk_but_staying" in definition.segments, "it needs no rfm rule"
    assert "loyal" not in definition.states
    assert "price_sensitive" not in definition.segments
    assert definition.states["churned"].when == "days_since_visit >= 60 OR visit_count_total = 0", "the second way"


def test_what_the_definition_names_wins(tmp_path: Path) -> None:
    own = {"dormant": "days_since_visit >= 21", "vip": "visit_count_total > 1000"}
    definition = load(tmp_path, packs={"lifecycle": {"settings": {"at_risk_after": 5}, "without": ["new"]}}, states=own)
    assert list(definition.states) == ["vip", "churned", "dormant", "at_risk", "resurrected", "active"]
    assert definition.states["dormant"].when == "days_since_visit >= 21"
    assert definition.states["at_risk"].when.startswith("days_since_visit >= 5 OR")


def test_lists_are_quoted_and_mean_what_they_say(tmp_path: Path) -> None:
    use = {"roles": {"activity": "visit"}, "settings": {"free_plans": ["free", "d'essai"]}}
    definition = load(tmp_path, **WIDE, packs={"saas": use})
    frame = pl.DataFrame({"plan": ["free", "d'essai", "pro", None]})
    inside = holds(definition.segments["on_free_plan"].when, frame)
    assert inside.to_list() == [True, True, False, False]


@pytest.mark.parametrize(
    ("packs", "answer"),
    [
        (["lifecycle", "comerce"], "packs.comerce: there is no such pack. Fix: choose from lifecycle"),
        ({"commerce": {"roles": {"basket": "cart_add"}}}, "packs.commerce.roles.basket: there is no such thing"),
        ({"commerce": {"roles": {"cart": "basket"}}}, "packs.commerce.roles.cart: there is no signal 'basket'"),
        ({"commerce": {"roles": {"cart": ["cart_add", "visit"]}}}, "name one signal"),
        ({"commerce": {"settings": {"idle": 1}}}, "packs.commerce.settings.idle: there is no such thing"),
        ({"commerce": {"without": ["nothing"]}}, "packs.commerce.without.nothing: there is no such thing"),
        ({"commerce": {"rolls": {}}}, "packs.commerce.rolls: unknown key; allowed: roles, settings, without"),
        ({"lifecycle": {"without": ["active"]}}, "no state is 'otherwise'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, packs: object, answer: str) -> None:
    with pytest.raises(DefinitionError) as found:
        load(tmp_path, packs=packs)
    assert answer in str(found.value)


def test_a_metric_nobody_knows_is_a_mistake(tmp_path: Path) -> None:
    rule = {"when": "days_since_visit < 1", "metrics": ["visit_cuont_total"]}
    with pytest.raises(DefinitionError, match=r"segments\.today\.metrics: unknown column"):
        load(tmp_path, segments={"today": rule})
