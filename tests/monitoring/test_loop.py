"""The whole loop on real parts: predict, hand off by an experiment, wait, read out, alarm, recalibrate, serve."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from features.definition import load_definition
from features.time import Clock
from segments.variants import trials
from serving.activation.delivery import Sender
from serving.model.registry.loader import Loader
from serving.scoring.earlier.batch import Earlier
from tests.conftest import World
from tests.monitoring.scored import memberships
from tests.serving.activation.receivers import Receiver
from tests.serving.activation.scenes import SECRET

pytestmark = pytest.mark.long

#: the log that the models were fitted on ends here
END = datetime(2026, 3, 1, tzinfo=UTC)
FIRST, SECOND, MATURED = END - timedelta(days=56), END, END + timedelta(days=16)

#: what is added to the logits of leaving; and the share of those whom a mail keeps
MORE, KEPT = 1.2, 0.8

EXPERIMENT = {
    "of": "segments.leaving", "destination": "crm", "variants": {"nothing": 0.5, "mail": 0.5},
    "primary": "churn", "better": "less", "starts": "2026-02-20",
}  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def command(world: World, *words: str, code: int = 0) -> str:
    done = world.run(sys.executable, "-m", "propensity", *words)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_from_a_prediction_to_a_better_champion(
    world: World, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    mine = acting(World.copied(world.folder, tmp_path / "world"), receiver)
    before = Loader(mine.definition, mine.settings).champions()["churn"].version

    # two nights: who becomes likely to leave is assigned, and handed off by the experiment
    for night in (FIRST, SECOND):
        command(mine, "score", "--ends", night.isoformat())
    given = assigned(mine)
    assert min(given["variant"].value_counts()["count"]) >= 50
    sender = Sender(mine.definition, memberships(mine).outbox, Clock())
    sender.drain("crm")
    sender.close()
    mailed = set(given.filter(variant="mail")["user"])
    sent = {m["user_id"] for m in receiver.messages if m["after"] == "in"}
    assert sent == mailed, "who was assigned nothing is not written to"
    assert set(assigned(mine).filter(variant="mail")["exposure"]) == {"delivered"}

    # two weeks in which more leave than was predicted, but for those who got the mail
    respond(mine, mailed)
    mine = complete_through(mine, MATURED)
    command(mine, "monitor")
    content = json.loads((mine.settings.monitoring(mine.definition.name) / "monitor.json").read_text())
    assert [one["name"] for one in content["findings"] if one["outcome"] == "churn" and one["alarm"]] == ["level_moved"]
    assert content["outcomes"]["churn"]["level"]["low"] > 1
    [batch] = [one for one in content["outcomes"]["churn"]["batches"] if one["at"] == "2026-03-01"]
    assert batch["handed_off"] > 0, "who was treated is not compared"

    shown = json.loads(command(mine, "experiment", "winback", "--json"))
    [line] = [row for row in shown["experiments"][0]["rows"] if row["slice"] == "everybody"]
    assert line["waiting"] == 0
    assert line["effect"] < -0.2
    assert "better than nothing, less churn" in shown["experiments"][0]["words"][0]

    # the level is corrected, through the gate, and served
    recalibrated = json.loads(command(mine, "recalibrate", "churn", "--json"))
    after = Loader(mine.definition, mine.settings).champions()["churn"]
    assert after.version != before, recalibrated
    moved = after.numbers.calibration.moved
    assert moved is not None
    assert moved.offset > 0.2
    command(mine, "score")
    newest = Earlier.newest(mine.settings.scores(mine.definition.name))
    assert newest is not None
    assert newest.models(mine.definition)["churn"] == after.version


def acting(world: World, receiver: Receiver) -> World:
    """The world with a destination, an experiment, and a log that goes on."""
    file = world.folder / "propensity.yaml"
    content = yaml.safe_load(file.read_text())
    content["destinations"] = {"crm": {
        "kind": "webhook", "url": receiver.url, "secret": "HOOK_SECRET", "of": ["segments.leaving"],
        "allow_private": True, "rate": 1000,
    }}  # fmt: skip
    content["segments"] = {"leaving": "churn_probability >= 0.3"}
    content["experiments"] = {"winback": EXPERIMENT}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return replace(world, definition=load_definition(file))


def assigned(world: World) -> pl.DataFrame:
    [one] = trials(world.definition)
    return memberships(world).assigned(one)


def respond(world: World, mailed: set[str]) -> None:
    """Write two weeks of visits: of everybody by the newest prediction, but for the changes."""
    newest = Earlier.newest(world.settings.scores(world.definition.name))
    assert newest is not None
    with newest.reading() as records:
        rows = records.select("user_id", p=pl.col("intent").struct.field("churn").struct.field("probability")).collect()
    rows = rows.drop_nulls().sort("user_id")
    rng = np.random.default_rng(3)
    p = rows["p"].to_numpy()
    leaves = rng.random(len(p)) < 1 / (1 + np.exp(-MORE) * (1 - p) / p)
    got = rows["user_id"].is_in(list(mailed)).to_numpy()
    leaves &= ~(got & (rng.random(len(p)) < KEPT))
    users = rows["user_id"].to_numpy()[~leaves]
    files = sorted((world.folder / "data" / "demo" / "events").glob("*.parquet"))
    visit = pl.read_parquet(files[-1]).filter(event="app_open").head(1)
    at = [END + timedelta(hours=float(hours)) for hours in rng.uniform(1, 13 * 24, len(users))]
    fresh = pl.concat([visit] * len(users)).with_columns(
        user_id=pl.Series(users),
        event_time=pl.Series(at).cast(visit.schema["event_time"]),
        arrived_at=pl.Series(at).cast(visit.schema["arrived_at"]),
        event_id=pl.Series([f"after-{i}" for i in range(len(users))]),
    )
    fresh.write_parquet(files[-1].with_name("zz-after.parquet"))


def complete_through(world: World, at: datetime) -> World:
    """The same world, whose log is complete through an instant."""
    file = world.folder / "propensity.yaml"
    content = yaml.safe_load(file.read_text())
    content["events"]["ends"] = at.isoformat()
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return replace(world, definition=load_definition(file))
