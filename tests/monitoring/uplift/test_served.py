"""Uplift from the demo's campaign to the answers of a real server, by the programs that users run."""

import sys
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
import yaml

from features.definition import load_definition
from features.events.write import part_files
from features.settings import Settings
from features.time import DAY, Clock, to_datetime
from segments.variants import trials
from serving.activation.memberships import Memberships
from serving.database.activation_tables import assignments, make_tables
from serving.database.log.live_log import LiveLog
from tests.conftest import World
from tests.monitoring.uplift.test_campaign import BEFORE, ENDS, defined, demo
from tests.serving.servers import Server

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("campaign")]

NOW = "2026-03-01T00:00:00Z"
SEGMENTS = {"worth_a_mail": "message_uplift_tier = 'persuadable'", "leave_alone": "message_uplift < 0"}


def assign(world: World) -> None:
    """The demo sends its message itself: let the experiment have assigned those whom it has drawn."""
    live = LiveLog.open(world.definition, world.settings)
    make_tables(live)
    Memberships(world.definition, live, Clock())
    [trial] = trials(world.definition).values()
    at = ENDS - BEFORE * DAY
    rows = [
        {"experiment": trial.id, "user_id": user, "variant": "mail" if treated else "nothing", "at": at,
         "predicted": "{}", "exposure": "delivered", "exposed_at": at, "mixed": False}
        for user, treated in truth(world).select("user_id", "treated").iter_rows()
    ]  # fmt: skip
    with live.writing() as connection:
        connection.execute(sa.insert(assignments), rows)
    live.close()


def truth(world: World) -> pl.DataFrame:
    return pl.read_parquet(world.folder / "truth" / "campaign.parquet")


def ran(world: World, *command: str) -> str:
    done = world.run(sys.executable, "-m", "propensity", *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("campaign")
    demo(folder, "--users", "16000", "--campaign", str(BEFORE))
    defined(folder)
    content = yaml.safe_load((folder / "propensity.yaml").read_text()) | {"segments": SEGMENTS}
    (folder / "propensity.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    made = World(folder, load_definition(folder / "propensity.yaml"), Settings(home=folder / "var"))
    assign(made)
    ran(made, "uplift", "message", "--variant", "mail")
    ran(made, "materialize")
    ran(made, "score")
    return made


@pytest.fixture(scope="module")
def records(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a server says of everybody to whom the message could be sent."""
    log = tmp_path_factory.mktemp("served") / "log"
    server = Server(world, log, PROPENSITY_CLOCK=NOW, PROPENSITY_AUTH="off")
    try:
        server.ready()
        users = truth(world)["user_id"].to_list()
        answer = server.client.post("/score", json={"user_ids": users[:10_000], "as_of": NOW})
        assert answer.status_code == 200, answer.text
        found = {record["user_id"]: record for record in answer.json()["records"]}
        members = server.client.get("/segments/worth_a_mail/users", params={"as_of": NOW, "limit": 1_000}).json()
        yield {"of": found, "members": members}
    finally:
        server.kill()


def test_a_server_answers_who_is_moved_as_it_is_true(world: World, records: dict[str, Any]) -> None:
    uplifts = pl.DataFrame(
        [{"user_id": user, **record["uplift"]["message"]} for user, record in records["of"].items()],
        infer_schema_length=None,
    )
    assert len(uplifts) > 3_000
    assert set(uplifts["model"]) == {"uplift.message/1"}
    answered = uplifts.filter(pl.col("predicted").is_not_null())
    assert len(answered) > len(uplifts) / 2
    true = answered.join(truth(world), on="user_id").with_columns(lost=-pl.col("churn")).sort("predicted")
    most, least = true.tail(len(true) // 3)["lost"].mean(), true.head(len(true) // 3)["lost"].mean()
    assert isinstance(most, float)
    assert isinstance(least, float)
    assert most > least + 0.01
    assert true.select(pl.corr("predicted", "lost")).item() > 0.03, "it answers for now, and was true three weeks ago"
    first = true.filter(tier="persuadable")["predicted"].min()
    assert first == true.tail(true.filter(tier="persuadable").height)["predicted"].min(), "tiers are cut from the top"


def test_those_who_were_persuadable_are_who_was_moved(world: World) -> None:
    """A batch as of the campaign: its tiers are about the users as they were then, and so is the truth."""
    at = to_datetime(ENDS - BEFORE * DAY)
    ran(world, "score", "--as-of", at.isoformat())
    [scores] = world.settings.scores(world.definition.name).glob(f"scores-{at:%Y-%m-%d}*")
    found = pl.read_parquet(part_files(scores)).select("user_id", pl.col("uplift").struct.field("message"))
    true = found.unnest("message").join(truth(world), on="user_id").with_columns(lost=-pl.col("churn"))
    moved = true.filter(tier="persuadable")["lost"].mean()
    others = true.filter(pl.col("tier") != "persuadable")["lost"].mean()
    assert isinstance(moved, float)
    assert isinstance(others, float)
    assert moved > others + 0.01


def test_segments_of_the_service_are_those_of_the_record(records: dict[str, Any]) -> None:
    inside = {user for user, one in records["of"].items() if "worth_a_mail" in one["segments"]}
    persuadable = {user for user, one in records["of"].items() if one["uplift"]["message"]["tier"] == "persuadable"}
    assert inside == persuadable != set()
    members = set(records["members"]["users"])
    assert members & inside
    assert members & records["of"].keys() <= inside


def test_the_batch_says_the_same(world: World, records: dict[str, Any]) -> None:
    [scores] = world.settings.scores(world.definition.name).glob("scores-2026-03-01*")
    batch = pl.read_parquet(part_files(scores)).select("user_id", pl.col("uplift").struct.field("message"))
    of = dict(batch.iter_rows())
    for user, record in list(records["of"].items())[::10]:
        mine = record["uplift"]["message"]
        assert {key: of[user][key] for key in ("tier", "why")} == {key: mine[key] for key in ("tier", "why")}
        for key in ("predicted", "effect", "low", "high"):
            assert of[user][key] == (pytest.approx(mine[key], abs=1e-6) if mine[key] is not None else None)
