"""Uplift on a real log: features at the assignment, everybody's tier today, and what is refused."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import polars as pl
import pytest
import yaml

from features.errors import PropensityError
from features.events.log import InMemory
from features.settings import Settings
from features.system.progress import unseen
from features.time import DAY
from monitoring.experiments.frozen import outcomes_of
from monitoring.uplift.fitted import Judged, criteria_of, fitted
from monitoring.uplift.job import uplift
from monitoring.uplift.learnt import Arms, Uplift, arms_of, learn
from monitoring.uplift.publish import publish
from monitoring.uplift.tiers import DO_NOT_DISTURB, PERSUADABLE
from monitoring.uplift.users import uplift_of_users
from segments.transitions.membership import IN, Observation
from segments.variants import trials
from serving.model.registry.loader import Loader
from tests.conftest import World
from tests.oracle import Event
from tests.serving.activation.scenes import Scene, going_to
from tests.worlds import events_of

BUY = {"will": "purchase", "within": "14d", "among": "tenure_days >= 0"}
PUSH = {"of": "segments.cart", "destination": "hook", "variants": {"nothing": 0.5, "push": 0.5}, "primary": "buy",
        "better": "more", "starts": "1970-04-12"}  # fmt: skip
USERS = [f"u{i:05d}" for i in range(4_000)]


class Shop:
    """Users who visited often are moved to buy by a push; those who hardly did are annoyed by it."""

    def __init__(self, folder: Path, *, often: float, seldom: float) -> None:
        self.scene = Scene.set("sqlite://", {"hook": going_to("http://localhost/")}, outcomes={"buy": BUY},
                               experiments={"push": PUSH})  # fmt: skip
        self.folder = folder
        memberships = self.scene.memberships
        seen = [Observation(user, 101 * DAY, {"states": "active", "segments.cart": IN}, frozenset(), {"buy": 0.3}, 0)
                for user in USERS]  # fmt: skip
        memberships.record(seen, self.scene.finder, memberships.last(), lambda _: {})
        [self.trial] = trials(self.scene.definition).values()
        self.assigned = memberships.assigned(self.trial.id)
        self.log: list[Event] = []
        rng = np.random.default_rng(7)
        for user, variant in self.assigned.select("user", "variant").iter_rows():
            busy = int(user[1:]) % 2 == 0
            for day in range(60, 130, 1 if busy else 5):
                self.log.append(Event(user, day * DAY, ("visit",), 0.0, day * DAY))
            chance = 0.3 + (variant == "push") * (often if busy else seldom)
            if rng.random() < chance:
                self.buy(user, rng)

    def buy(self, user: str, rng: np.random.Generator) -> None:
        at = 103 * DAY + int(rng.integers(DAY))
        self.log.append(Event(user, at, ("purchase",), 20.0, at))

    @property
    def read(self) -> InMemory:
        return InMemory(replace(events_of(self.scene.definition, self.log), ends=130 * DAY))

    def learnt(self) -> tuple[Arms, Uplift]:
        key = (self.trial.id, "buy")
        labels, _ = outcomes_of(
            self.read, self.scene.definition, {key: self.assigned.select("user", "at")}, self.folder / "kept"
        )
        made = arms_of(
            self.trial, "push", self.assigned, labels[key], self.read, self.scene.definition, self.folder / "arms"
        )
        return made, learn(made, self.trial, "push", self.scene.definition)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path, often=0.25, seldom=-0.2)
    yield made
    made.scene.close()


def test_who_is_moved_is_known_of_everybody(shop: Shop) -> None:
    arms, found = shop.learnt()
    assert (len(arms.names), found.offered) == (4_000, True)
    model = fitted(found, arms, shop.trial, shop.scene.definition)
    judged = Judged(found, criteria_of(found, model, arms, shop.assigned, shop.trial, None))
    users = uplift_of_users(model, shop.read, shop.scene.definition, shop.folder / "users")
    assert sorted(users["user"]) == USERS
    busy = users.with_columns(busy=pl.col("user").str.slice(1).cast(pl.Int64) % 2 == 0)
    shares = busy.group_by("busy").agg(
        persuadable=(pl.col("tier") == PERSUADABLE).mean(), disturbed=(pl.col("tier") == DO_NOT_DISTURB).mean()
    )
    by = {row["busy"]: row for row in shares.to_dicts()}
    assert by[True]["persuadable"] > 0.6
    assert by[True]["disturbed"] < 0.2
    assert by[False]["disturbed"] > 0.6
    written = publish(judged, users, shop.folder / "uplift")
    content = json.loads(written.read_text())
    assert content["offered"] is True
    assert content["experiment"] == shop.trial.id
    table = written.with_suffix(".parquet")
    assert pl.read_parquet(table).equals(users)
    publish(judged, None, shop.folder / "uplift")
    assert not table.exists(), "what is not offered any more is not left there"


def test_the_job_publishes_and_keeps_a_run(shop: Shop) -> None:
    settings = Settings(home=shop.folder / "var")
    found, written = uplift(
        shop.read, shop.scene.definition, settings, shop.scene.memberships, shop.trial, "push", steps=unseen
    )
    assert found.offered
    assert json.loads(written.read_text())["experiment"] == shop.trial.id
    assert len(pl.read_parquet(written.with_suffix(".parquet"))) == 4_000
    client = mlflow.MlflowClient(settings.mlflow_uri)
    place = client.get_experiment_by_name(f"{shop.scene.definition.name}/uplift/push")
    [run] = client.search_runs([place.experiment_id])
    assert run.data.metrics["offered"] == 1
    assert run.data.metrics["autoc_low"] > 0
    assert run.data.params["variant"] == "push"
    assert found.version == "uplift.push/1"
    assert Loader(shop.scene.definition, settings).promoted_uplifts()["push"].number == "1"


def test_features_are_those_of_the_assignment(shop: Shop) -> None:
    arms, _ = shop.learnt()
    shop.log += [Event(user, 102 * DAY, ("visit",), 0.0, 102 * DAY) for user in USERS[:500]]
    again, _ = shop.learnt()
    assert np.array_equal(arms.X, again.X, equal_nan=True), "what came after it is not known"


def test_too_few_users_are_refused_with_a_number(shop: Shop) -> None:
    shop.assigned = shop.assigned.head(1_500)
    with pytest.raises(
        PropensityError, match=r"push: push has \d+ users whose buy is known, and \d+ of the rarer"
    ) as no:
        shop.learnt()
    assert "1,000 users and 100 of each answer in each arm" in str(no.value)


def test_an_unknown_variant_is_named(shop: Shop) -> None:
    with pytest.raises(PropensityError, match="push has no variant 'mail'"):
        arms_of(shop.trial, "mail", shop.assigned, pl.DataFrame(), shop.read, shop.scene.definition, shop.folder)


def test_the_command_says_what_is_missing(untrained_world: World, tmp_path: Path) -> None:
    mine = World.copied(untrained_world.folder, tmp_path / "world")
    content = yaml.safe_load((mine.folder / "propensity.yaml").read_text())
    content["destinations"] = {"crm": going_to("http://localhost/", of=["states"])}
    content["experiments"] = {"winback": {
        "of": "states.at_risk", "destination": "crm", "variants": {"nothing": 0.4, "mail": 0.6}, "primary": "churn",
        "better": "less", "starts": "2026-01-15",
    }}  # fmt: skip
    (mine.folder / "propensity.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    done = mine.run(sys.executable, "-m", "propensity", "uplift", "winback")
    assert done.returncode == 2, done.stdout
    assert "winback: mail has 0 users whose churn is known" in done.stderr
    unknown = mine.run(sys.executable, "-m", "propensity", "uplift", "win")
    assert unknown.returncode == 2
    assert "the experiments are winback" in unknown.stderr
