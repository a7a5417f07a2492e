"""Experiments in the definition: what they may name, and when an edit makes another one."""

from pathlib import Path

import pytest
import yaml

from features.definition import Definition, load_definition
from features.errors import DefinitionError
from segments.variants import trials
from tests.segments.worlds import moving
from tests.serving.activation.scenes import going_to
from tests.worlds import DEFINITION

WINBACK = {"of": "segments.cart", "destination": "hook", "variants": {"nothing": 0.5, "mail": 0.3, "voucher": 0.2},
           "primary": "churn", "better": "less", "starts": "2026-03-01"}  # fmt: skip
BASE = {"segments": {"cart": "days_since_cart_add < 1"}, "destinations": {"hook": going_to("http://localhost/")},
        "states": {"silent": "days_since_visit >= 30", "active": "otherwise"}}  # fmt: skip


def load(folder: Path, **changes: object) -> Definition:
    path = folder / "propensity.yaml"
    path.write_text(
        yaml.safe_dump(DEFINITION | BASE | {"experiments": {"winback": WINBACK | changes}}, sort_keys=False)
    )
    return load_definition(path)


MISTAKES = {
    "no control": ({"variants": {"mail": 0.5, "voucher": 0.5}}, "one of 'variants' must be 'nothing'"),
    "shares of more than all": ({"variants": {"nothing": 0.5, "mail": 0.6}}, "add up to 1.1; they must add up to 1"),
    "one variant": ({"variants": {"nothing": 0.5}}, "at least 2 items"),
    "unknown audience": ({"of": "segments.carts"}, "there is no 'segments.carts'. Fix: nearest: segments.cart"),
    "unknown destination": ({"destination": "crm"}, "there is no 'crm'. Fix: those that act on users are hook"),
    "not sent there": (
        {"of": "states.silent"},
        "the destination hook is not sent states.silent. Fix: add states.silent to destinations.hook.of",
    ),
    "a tier that is not sent there": ({"of": "tiers.churn.most_likely"}, "add tiers.churn to destinations.hook.of"),
    "unknown outcome": ({"primary": "churns"}, "there is no 'churns'. Fix: nearest: churn"),
    "an outcome twice": ({"secondary": ["churn"]}, "churn is named twice in 'primary' and 'secondary'"),
    "ends before it starts": ({"ends": "2026-02-01"}, "which is not after 'starts', 2026-03-01T00:00:00+00:00"),
    "no instant": ({"starts": "soon"}, "'soon' is not an instant"),
    "a number for an instant": ({"starts": 20260301}, "'20260301' is not an instant"),
    "no direction": ({"better": "most"}, "experiments.winback.better"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named(tmp_path: Path, case: str) -> None:
    changes, words = MISTAKES[case]
    with pytest.raises(DefinitionError) as caught:
        load(tmp_path, **changes)
    shown = str(caught.value)
    assert words in shown


def test_two_experiments_do_not_decide_about_the_same_users(tmp_path: Path) -> None:
    path = tmp_path / "propensity.yaml"
    both = {"winback": WINBACK, "second": WINBACK | {"variants": {"nothing": 0.5, "call": 0.5}}}
    path.write_text(yaml.safe_dump(DEFINITION | BASE | {"experiments": both}, sort_keys=False))
    with pytest.raises(DefinitionError, match=r"experiments.second and experiments.winback both decide who of"):
        load_definition(path)
    both["winback"] = WINBACK | {"ends": "2026-04-01"}
    both["second"]["starts"] = "2026-04-01"
    path.write_text(yaml.safe_dump(DEFINITION | BASE | {"experiments": both}, sort_keys=False))
    assert set(load_definition(path).experiments) == {"winback", "second"}


def test_dates_of_yaml_and_text_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "propensity.yaml"
    text = yaml.safe_dump(DEFINITION | BASE | {"experiments": {"winback": WINBACK}}, sort_keys=False)
    ids = []
    for written in ("2026-03-01", "'2026-03-01'", "2026-03-01T00:00:00Z"):
        path.write_text(text.replace("'2026-03-01'", written))
        ids += list(trials(load_definition(path)))
    assert len(set(ids)) == 1


def test_what_it_means_makes_the_experiment(tmp_path: Path) -> None:
    first = set(trials(load(tmp_path)))
    assert set(trials(load(tmp_path, ends="2026-05-01"))) == first, "it may last longer"
    for change in ({"better": "more"}, {"starts": "2026-03-02"}, {"users": 1_000}, {"looks": 3},
                   {"variants": {"nothing": 0.4, "mail": 0.4, "voucher": 0.2}}):  # fmt: skip
        assert set(trials(load(tmp_path, **change))) != first, change


def test_the_rule_of_its_audience_and_outcome_belong_to_it() -> None:
    def of(**changes: object) -> set[str]:
        return set(trials(moving(destinations=BASE["destinations"], experiments={"winback": WINBACK}, **changes)))

    first = of()
    assert of() == first
    assert of(segments={"cart": "days_since_cart_add < 2"}) != first
    assert of(segments={"cart": {"when": "days_since_cart_add < 1", "about": "in words"}}) == first
    assert of(outcomes={"churn": {"will_not": "visit", "within": "7d", "among": "tenure_days >= 0"}}) != first


def test_variants_are_even_and_independent_of_one_another() -> None:
    definition = moving(destinations=BASE["destinations"], experiments={"a": WINBACK, "b": WINBACK})
    users = [f"u{i}" for i in range(40_000)]
    a, b = (one.draw(definition.name, users) for one in trials(definition).values())
    for name, share in (("nothing", 0.5), ("mail", 0.3), ("voucher", 0.2)):
        assert abs(a.count(name) / 40_000 - share) < 0.01
    both = sum(x == y == "nothing" for x, y in zip(a, b, strict=True)) / 40_000
    assert abs(both - 0.25) < 0.01
    assert a == next(iter(trials(definition).values())).draw(definition.name, users)


def test_a_definition_without_experiments_keeps_its_digest() -> None:
    assert moving().version == moving(experiments={}).version
