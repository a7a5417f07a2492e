"""A trained home is backed up, brought back at another path, and does there all that it did."""

import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

from features.events.write import part_files
from features.time import HOUR, parse_instant, to_instant
from serving.database.log.live_log import LiveLog
from tests.conftest import World
from tests.serving.conftest import copy_of
from tests.serving.ingest.asking import CLOCK
from tests.serving.ingest.scenes import message
from tests.serving.servers import Server


class Restored(World):
    """A world whose home is not beside its definition."""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"PROPENSITY_HOME": str(self.settings.home)}


@pytest.mark.long
def test_a_trained_home_is_scored_and_served_at_another_path(world: World, tmp_path: Path) -> None:
    old = copy_of(world, tmp_path / "old")
    began = to_instant(parse_instant(CLOCK)) - HOUR
    live = LiveLog.open(old.definition, old.settings)
    live.append([message(i, "u0000001", "purchase", began + i, revenue=2.0) for i in range(3)])
    live.close()
    done = old.run(sys.executable, "-m", "propensity", "backup", str(tmp_path / "backup"))
    assert done.returncode == 0, done.stderr
    shutil.rmtree(old.settings.home)

    new = Restored(old.folder, old.definition, old.settings.model_copy(update={"home": tmp_path / "elsewhere" / "var"}))
    for command in (("restore", str(tmp_path / "backup")), ("materialize",), ("reconcile",), ("score",)):
        done = new.run(sys.executable, "-m", "propensity", *command)
        assert done.returncode == 0, done.stdout + done.stderr
    [batch] = [f for f in new.settings.scores("demo-shop").iterdir() if f.is_dir()]
    churn = pl.read_parquet(part_files(batch))["intent"].struct.field("churn")
    assert set(churn.struct.field("model")) == {"churn/1"}
    assert churn.struct.field("probability").drop_nulls().len() > 100
    assert not old.settings.home.exists(), "nothing is made at the old place"

    server = Server(new, tmp_path / "log", PROPENSITY_AUTH="off", PROPENSITY_CLOCK=CLOCK)
    try:
        ready = server.ready().client.get("/readyz").json()
        assert (ready["missing"], ready["degraded"]) == ({}, {})
        models = {model["outcome"] for model in server.client.get("/models").json()}
        assert models == set(new.definition.outcomes)
        event = {"userId": "u0000001", "event": "purchase", "messageId": "after", "properties": {"revenue": 2}}
        assert server.client.post("/v1/track", json=event).status_code == 200
        [record] = server.client.post("/score", json={"user_ids": ["u0000001"], "reasons": 1}).json()["records"]
        assert record["intent"]["purchase"]["model"] == "purchase/1"
    finally:
        server.stop()
    assert not old.settings.home.exists()
