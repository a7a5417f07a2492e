"""The holdout is read out: a planted effect is found, and what cannot be read out says so."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from features.events.log import InMemory
from features.time import DAY
from monitoring.experiments.holdout import HoldoutEffect, holdout_effects
from segments.holdout import Holdout
from segments.transitions.membership import IN, Observation
from serving.activation.hand_offs import HandOffs
from tests.conftest import World
from tests.oracle import Event
from tests.serving.activation.scenes import Scene, going_to
from tests.worlds import events_of

USERS = [f"u{i:04d}" for i in range(4_000)]
CART = "segments.cart"
SPEND = {"sum_of": "purchase", "within": "14d", "among": "tenure_days >= 0"}
CHURN = {"will_not": "visit", "within": "14d", "among": "days_since_visit < 28"}


@dataclass
class Entered:
    """Users who entered the cart at day 101, and what they did in the two weeks after it."""

    scene: Scene
    folder: Path
    log: list[Event]

    def enter(self, users: list[str], at: int, p: np.ndarray) -> None:
        """So many users enter, each with a probability to churn."""
        seen = [Observation(user, at, {"states": "active", CART: IN}, frozenset(), {"churn": float(chance)}, 0)
                for user, chance in zip(users, p, strict=True)]  # fmt: skip
        memberships = self.scene.memberships
        memberships.record(seen, self.scene.finder, memberships.last(), lambda _: {})

    def act(self, users: list[str], at: int, p: np.ndarray, helped: np.ndarray, seed: int) -> None:
        """Who does not churn visits once, and buys something."""
        rng = np.random.default_rng(seed)
        stays = rng.random(len(users)) >= np.clip(p - helped, 0, 1)
        for user, stay in zip(users, stays, strict=True):
            self.log.append(Event(user, at - DAY, ("visit",), 0.0, at - DAY))
            if stay:
                later = at + int(rng.integers(1, 14 * DAY))
                self.log.append(Event(user, later, ("visit", "purchase"), 10.0, later))

    def read(self, *, through: int, since: int = 0) -> dict[str, HoldoutEffect]:
        events = replace(events_of(self.scene.definition, self.log), ends=through)
        hand_offs = HandOffs(self.scene.definition, self.scene.memberships)
        found = holdout_effects(
            InMemory(events), self.scene.definition, hand_offs, self.folder / "entered", since=since
        )
        assert {one.audience for one in found} <= {CART}
        return {one.outcome: one for one in found}


@pytest.fixture
def entered(tmp_path: Path) -> Iterator[Entered]:
    scene = Scene.set("sqlite://", {"hook": going_to("http://localhost/")}, transitions={"holdout": 0.25},
                      outcomes={"churn": CHURN, "spend": SPEND}, identities={})  # fmt: skip
    yield Entered(scene, tmp_path, [])
    scene.close()


def out(entered: Entered, users: list[str]) -> np.ndarray:
    return Holdout(entered.scene.definition).of(users, [CART] * len(users))


def chances(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).beta(2, 3, count)


def test_a_planted_effect_is_found_and_adjusting_makes_it_sharper(entered: Entered) -> None:
    p, held = chances(4_000), out(entered, USERS)
    entered.enter(USERS, 101 * DAY, p)
    entered.act(USERS, 101 * DAY, p, np.where(held, 0.0, 0.10), seed=2)
    found = entered.read(through=120 * DAY)
    churn = found["churn"]
    assert (churn.treated, churn.held_out, churn.waiting) == (int((~held).sum()), int(held.sum()), 0)
    assert churn.low is not None
    assert churn.high is not None
    assert churn.low < -0.095 < churn.high < 0
    assert churn.words.startswith("less")
    assert churn.plain is not None
    assert churn.adjusted is not None
    assert churn.adjusted.difference.effect.error < churn.plain.effect.error
    assert churn.adjusted.theta == pytest.approx(1, abs=0.12), "what was predicted is calibrated"
    assert churn.adjusted.cut == pytest.approx(np.var(p) / (p.mean() * (1 - p.mean())), abs=0.04)
    assert churn.mean_held_out == pytest.approx(p[held].mean(), abs=0.03)
    spend = found["spend"]
    assert spend.adjusted is None, "nothing was predicted of it"
    assert spend.effect == pytest.approx(1.0, abs=0.4), "ten for each who stays"


def test_no_effect_is_not_claimed(entered: Entered) -> None:
    p = chances(4_000)
    entered.enter(USERS, 101 * DAY, p)
    entered.act(USERS, 101 * DAY, p, np.zeros(4_000), seed=3)
    churn = entered.read(through=120 * DAY)["churn"]
    assert churn.words.startswith("not known yet: between")
    assert churn.smallest is not None
    assert 0.02 < churn.smallest < 0.08


def test_nothing_is_read_out_before_it_has_matured(entered: Entered) -> None:
    users, p = USERS[:400], chances(400)
    entered.enter(users, 101 * DAY, p)
    entered.act(users, 101 * DAY, p, np.zeros(400), seed=3)
    churn = entered.read(through=115 * DAY - 1)["churn"]
    assert (churn.treated, churn.held_out, churn.waiting) == (0, 0, 400)
    assert churn.effect is None
    assert "0 treated and 0 held out have matured; the first on 1970-04-26" in churn.words
    assert entered.read(through=115 * DAY)["churn"].waiting == 0


def test_who_enters_again_counts_once_in_the_arm_of_the_first_time(entered: Entered) -> None:
    users, p = USERS[:400], chances(400)
    entered.enter(users, 101 * DAY, p)
    seen = [Observation(user, 103 * DAY, {"states": "active"}, frozenset(), {}, 0) for user in users]
    memberships = entered.scene.memberships
    memberships.record(seen, entered.scene.finder, memberships.last(), lambda _: {})
    entered.enter(users, 104 * DAY, p)
    entered.act(users, 101 * DAY, p, np.zeros(400), seed=3)
    churn = entered.read(through=116 * DAY)["churn"]
    assert churn.treated + churn.held_out == 400
    later = entered.read(through=116 * DAY, since=102 * DAY)["churn"]
    assert (later.treated + later.held_out, later.waiting) == (0, 400)


def test_arms_that_are_not_as_planned_are_not_read_out(entered: Entered) -> None:
    held = out(entered, USERS)
    users = [*np.array(USERS)[held][:300].tolist(), *np.array(USERS)[~held][:300].tolist()]
    p = chances(600)
    entered.enter(users, 101 * DAY, p)
    entered.act(users, 101 * DAY, p, np.zeros(600), seed=3)
    churn = entered.read(through=120 * DAY)["churn"]
    assert churn.balance.stop
    assert churn.effect is None
    assert "not as planned" in churn.words


def test_who_was_in_both_arms_is_left_out(entered: Entered) -> None:
    held = out(entered, USERS)
    guest, known = USERS[int(held.argmax())], USERS[int(held.argmin())]
    users = [guest, known, *[user for user in USERS[:300] if user not in (guest, known)]]
    p = chances(len(users))
    entered.enter(users, 101 * DAY, p)
    entered.act(users, 101 * DAY, p, np.zeros(len(users)), seed=3)
    entered.scene.memberships.merged({guest: known}, {}, 102 * DAY)
    churn = entered.read(through=120 * DAY)["churn"]
    assert churn.both_arms == 1
    assert churn.treated + churn.held_out == len(users) - 1


def test_one_user_in_an_arm_is_no_comparison(entered: Entered) -> None:
    held = out(entered, USERS)
    users = [USERS[int(held.argmax())], USERS[int(held.argmin())]]
    entered.enter(users, 101 * DAY, chances(2))
    entered.act(users, 101 * DAY, chances(2), np.zeros(2), seed=3)
    churn = entered.read(through=120 * DAY)["churn"]
    assert churn.effect is None
    assert "1 treated and 1 held out have matured" in churn.words


def test_without_a_holdout_there_is_nothing_to_compare_with(entered: Entered) -> None:
    users = np.array(USERS)[~out(entered, USERS)][:9].tolist()
    entered.enter(users, 101 * DAY, chances(9))
    entered.act(users, 101 * DAY, chances(9), np.zeros(9), seed=3)
    assert entered.read(through=120 * DAY)["churn"].words.startswith("nobody who entered was held out")


def test_a_message_to_the_team_treats_nobody(tmp_path: Path) -> None:
    scene = Scene.set("sqlite://", {"team": {"kind": "notice", "url": "slack://a/b/c", "of": [CART]}})
    entered = Entered(scene, tmp_path, [])
    entered.enter(USERS[:5], 101 * DAY, chances(5))
    assert HandOffs(scene.definition, scene.memberships).entries(0).is_empty()
    scene.close()


def test_the_command(untrained_world: World, tmp_path: Path) -> None:
    mine = World.copied(untrained_world.folder, tmp_path / "world")
    refused = mine.run(sys.executable, "-m", "propensity", "effect")
    assert refused.returncode == 2, refused.stdout
    assert "no destination that acts on users" in refused.stderr
    content = yaml.safe_load((mine.folder / "propensity.yaml").read_text())
    content["destinations"] = {"hook": going_to("http://localhost/", of=["segments"])}
    (mine.folder / "propensity.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for ends in ("2026-01-10", "2026-01-20"):
        scored = mine.run(sys.executable, "-m", "propensity", "score", "--ends", ends)
        assert scored.returncode == 0, scored.stderr
    shown = mine.run(sys.executable, "-m", "propensity", "effect")
    assert shown.returncode == 0, shown.stderr
    assert "segments." in shown.stdout
    assert "churn" in shown.stdout
    nobody = mine.run(sys.executable, "-m", "propensity", "effect", "--json", "segments.none")
    assert nobody.stdout.split() == ["{", '"read_outs":', "[]", "}"]
