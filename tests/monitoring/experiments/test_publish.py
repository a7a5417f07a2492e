"""Experiments on a real log and real memberships: outcomes are kept, and what is published says all of it."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from features.errors import PropensityError
from features.events.log import InMemory
from features.time import DAY, HOUR
from monitoring.experiments.power import power_of
from monitoring.experiments.publish import find, publish, read_outs
from monitoring.experiments.read_out import ReadOut
from segments.transitions.membership import IN, Observation
from segments.variants import trials
from serving.activation.hand_offs import HANDED_OFF, HELD_OUT, HandOffs
from serving.activation.memberships import Memberships
from tests.conftest import World
from tests.oracle import Event
from tests.serving.activation.scenes import Scene, going_to
from tests.worlds import events_of

USERS = [f"u{i:04d}" for i in range(1_200)]
WINBACK: dict[str, Any] = {
    "of": "segments.cart", "destination": "hook", "variants": {"nothing": 0.5, "mail": 0.5}, "primary": "churn",
    "better": "less", "secondary": ["spend"], "starts": "1970-04-12", "users": 1_000, "looks": 2,
}  # fmt: skip
SPEND = {"sum_of": "purchase", "within": "14d", "among": "tenure_days >= 0"}
CHURN = {"will_not": "visit", "within": "14d", "among": "days_since_visit < 28"}


@dataclass
class Shop:
    """Users who enter on day 101; the mail keeps one in four of those who would leave."""

    scene: Scene
    folder: Path
    log: list[Event]

    @property
    def given(self) -> dict[str, str]:
        [one] = trials(self.scene.definition)
        return dict(self.scene.memberships.assigned(one).select("user", "variant").iter_rows())

    def enter(self, users: list[str]) -> None:
        memberships = self.scene.memberships
        seen = [Observation(user, self.scene.clock.at, {"states": "active", "segments.cart": IN}, frozenset(),
                            {"churn": 0.5}, 0) for user in users]  # fmt: skip
        memberships.record(seen, self.scene.finder, memberships.last(), lambda _: {})

    def act(self) -> None:
        rng = np.random.default_rng(1)
        for user, variant in self.given.items():
            self.log.append(Event(user, 100 * DAY, ("visit",), 0.0, 100 * DAY))
            if rng.random() >= (0.5 if variant == "nothing" else 0.3):
                self.log.append(Event(user, 103 * DAY, ("visit", "purchase"), 20.0, 103 * DAY))

    def read(self, *, through: int = 130 * DAY) -> ReadOut:
        events = replace(events_of(self.scene.definition, self.log), ends=through)
        asked = list(trials(self.scene.definition).values())
        [found] = read_outs(asked, InMemory(events), self.scene.definition, self.scene.memberships, self.folder)
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    scene = Scene.set("sqlite://", {"hook": going_to("http://localhost/")}, outcomes={"churn": CHURN, "spend": SPEND},
                      experiments={"winback": WINBACK}, identities={})  # fmt: skip
    made = Shop(scene, tmp_path / "monitoring", [])
    scene.clock.at = 101 * DAY
    made.enter(USERS)
    made.act()
    yield made
    scene.close()


def test_the_effect_on_a_log_is_found(shop: Shop) -> None:
    found = shop.read()
    assert (found.look.number, found.look.final) == (2, True)
    churn, spend = found.of("churn", "mail"), found.of("spend", "mail")
    assert churn.low is not None
    assert churn.high is not None
    assert churn.low < -0.2 < churn.high < 0
    assert spend.effect == pytest.approx(4, abs=2.5)
    assert spend.p_value is not None
    assert found.exposures["mail"] == {"handed off": found.assigned["mail"]}
    assert found.exposures["nothing"] == {"withheld": found.assigned["nothing"]}


def test_nothing_has_matured_a_microsecond_too_early(shop: Shop) -> None:
    assert shop.read(through=115 * DAY - 1).look.number == 0
    assert shop.read(through=115 * DAY).look.number == 2


def test_events_that_come_late_change_nothing_that_was_read_and_are_said(shop: Shop) -> None:
    first = shop.read()
    silent = [u for u in USERS if not any(e.user == u and e.t > 101 * DAY for e in shop.log)][:7]
    shop.log += [Event(user, 104 * DAY, ("visit",), 0.0, 129 * DAY) for user in silent]
    again = shop.read(through=131 * DAY)
    assert again.of("churn", "mail").comparison == first.of("churn", "mail").comparison
    assert again.late == {"churn": 7, "spend": 0}
    assert shop.read(through=200 * DAY).late["churn"] == 0, "after a month nothing is compared any more"


def test_a_merged_user_counts_once_and_one_of_two_arms_does_not_count(shop: Shop) -> None:
    shop.read()
    by_arm = {name: [u for u, v in shop.given.items() if v == name] for name in ("nothing", "mail")}
    one, other, third = by_arm["nothing"][0], by_arm["mail"][0], by_arm["mail"][1]
    shop.scene.memberships.merged({one: other, by_arm["mail"][2]: third}, {}, 105 * DAY)
    found = shop.read()
    assert found.both_arms == 1
    assert sum(found.assigned.values()) == 1_200 - 3


def test_what_is_published_is_json_and_a_page_and_the_same_again(shop: Shop) -> None:
    [trial] = trials(shop.scene.definition).values()
    power = power_of(trial, shop.scene.definition, shop.scene.memberships, shop.folder, 130 * DAY)
    for _ in range(2):
        publish([shop.read()], {trial.id: power}, shop.folder, shop.scene.definition)
    content = json.loads((shop.folder / "experiments.json").read_text())["winback"]
    assert content["words"][0].startswith("mail, look 2 of 2: better than nothing, less churn: -0.")
    assert content["variants"]["mail"] == {"share": 0.5, "assigned": shop.read().assigned["mail"],
                                           "exposures": {"handed off": shop.read().assigned["mail"]}}  # fmt: skip
    assert {(row["outcome"], row["slice"]) for row in content["rows"]} >= {("churn", "everybody")}
    assert content["power"]["inside"] == len(USERS)
    assert content["power"]["arms"] == {"nothing": 500, "mail": 500}, "those planned"
    page = (shop.folder / "experiments.html").read_text()
    assert "better than nothing" in page
    assert "vegaEmbed(" in page
    assert "http://" not in page.partition("<script>")[0]


def test_an_experiment_is_found_by_its_name_or_by_the_id_it_had(shop: Shop) -> None:
    memberships, definition = shop.scene.memberships, shop.scene.definition
    [now] = trials(definition)
    assert find(definition, memberships, "winback").id == find(definition, memberships, now).id == now
    edited = definition.model_copy(
        update={"experiments": {"winback": definition.experiments["winback"].model_copy(update={"looks": 4})}}
    )
    later = Memberships(edited, memberships.live, shop.scene.clock)
    later.known()
    old = find(edited, later, now)
    assert (old.id, old.rule) == (now, definition.experiments["winback"])
    events = replace(events_of(definition, shop.log), ends=130 * DAY)
    [found] = read_outs([old], InMemory(events), edited, later, shop.folder)
    assert found.of("churn", "mail").shown
    with pytest.raises(PropensityError, match="there is no experiment 'mails'"):
        find(edited, later, "mails")
    gone = edited.model_copy(update={"outcomes": {"churn": definition.outcomes["churn"]}})
    with pytest.raises(PropensityError, match="is judged by spend, which the definition does not have any more"):
        read_outs([old], InMemory(events), gone, later, shop.folder)


def test_who_was_assigned_nothing_stands_for_the_others_in_the_monitor(shop: Shop) -> None:
    rows = pl.DataFrame({"user": USERS, "at": 101 * DAY - HOUR})
    hand_offs = HandOffs(shop.scene.definition, shop.scene.memberships)
    found = hand_offs.populations(rows, hand_offs.moves(0), 7 * DAY)
    given = shop.given
    for user, population, weight in found.select("user", "population", "weight").iter_rows():
        withheld = given[user] == "nothing"
        assert (population, weight) == ((HELD_OUT, 2.0) if withheld else (HANDED_OFF, 0.0))


def test_the_command(untrained_world: World, tmp_path: Path) -> None:
    mine = World.copied(untrained_world.folder, tmp_path / "world")
    command = (sys.executable, "-m", "propensity", "experiment")
    refused = mine.run(*command)
    assert refused.returncode == 2, refused.stdout
    assert "the definition has no experiments" in refused.stderr
    content = yaml.safe_load((mine.folder / "propensity.yaml").read_text())
    content["destinations"] = {"crm": going_to("http://localhost/", of=["states"])}
    content["experiments"] = {"winback": {
        "of": "states.at_risk", "destination": "crm", "variants": {"nothing": 0.4, "mail": 0.6}, "primary": "churn",
        "better": "less", "secondary": ["purchase"], "starts": "2026-01-15",
    }}  # fmt: skip
    (mine.folder / "propensity.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for ends in ("2026-01-10", "2026-01-20"):
        scored = mine.run(sys.executable, "-m", "propensity", "score", "--ends", ends)
        assert scored.returncode == 0, scored.stderr
    shown = mine.run(*command)
    assert shown.returncode == 0, shown.stderr
    assert "who enters states.at_risk, to crm; wanted: less churn" in " ".join(shown.stdout.split())
    published = json.loads((mine.settings.monitoring(mine.definition.name) / "experiments.json").read_text())
    lines = {(row["outcome"], row["slice"]): row for row in published["winback"]["rows"]}
    assert lines["churn", "everybody"]["waiting"] == 0
    assert lines["churn", "everybody"]["effect"] is not None
    assert lines["purchase", "everybody"]["p_value"] is not None
    again = json.loads(mine.run(*command, "winback", "--any-time", "--json").stdout)
    assert again["experiments"][0]["rows"] == published["winback"]["rows"], "without a plan it is the same"
    unknown = mine.run(*command, "win_back")
    assert unknown.returncode == 2
    assert "the experiments are winback" in unknown.stderr
