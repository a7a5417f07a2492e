"""A home that an older version wrote is opened whole: brought forward, scored, served, and nothing of it is lost.

``tests/cases/older-home/shop.tar.gz`` was made by commit c41b17e, whose live log has tables of version 2: the demo of
120 users, its log cut to the last three months, ``train`` with one outcome, 40 purchases put into the live log,
``compact``, ``score``, and 20 purchases more that wait in the live log. Left out are the pictures and pages of the
training run and all snapshots but one, which nobody reads again. To make another one, do the same with the commit that
it is to be of, in a folder whose path says nothing of the machine.
"""

import sqlite3
import tarfile
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from features.events.write import part_files
from serving.database.log.live_log import LiveLog
from serving.database.schema import VERSION
from serving.model.registry.loader import Loader
from tests.conftest import ROOT, World
from tests.forks import run_module
from tests.serving.ingest.asking import CLOCK, until
from tests.serving.servers import Server

#: message i is of user i % 20, and of an order of i + 1
SENT = {f"old-{i}": (f"u{i % 20:07d}", i + 1.0) for i in range(60)}


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(ROOT / "tests" / "cases" / "older-home" / "shop.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return World.at(folder / "shop")


def run(world: World, *command: str) -> str:
    done = run_module("propensity", command, world.environment | {"PROPENSITY_CLOCK": CLOCK}, ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def version_of(world: World) -> int:
    with closing(sqlite3.connect(world.settings.folder(world.definition.name) / "live.db")) as connection:
        [version] = connection.execute("SELECT schema FROM live_state").fetchone()
    return int(version)


def newest_batch(world: World) -> pl.DataFrame:
    newest = max(world.settings.scores(world.definition.name).glob("scores-*.parquet"))
    return pl.read_parquet(part_files(newest)).sort("user_id")


def intent(batch: pl.DataFrame) -> list[tuple[object, ...]]:
    """Of each user the likelihood to buy, and its tier; another processor rounds the last bit in another way."""
    shown = batch["intent"].struct.field("purchase").struct.unnest()
    return shown.select(pl.col("probability").round(12), "tier").rows()


def spent(world: World) -> dict[str, float]:
    """What everybody has spent by the log's files and the messages, in whole numbers."""
    found: dict[str, float] = defaultdict(float)
    log = pl.read_parquet(world.folder / "data" / "demo" / "events" / "*.parquet")
    rows = log.filter(event="purchase").select("user_id", "revenue").rows()
    for user, amount in (*rows, *SENT.values()):
        found[user] += amount
    return {user: total for user, total in found.items() if not user.startswith("test-")}


def totals(records: list[dict]) -> dict[str, float]:
    return {record["user_id"]: record["value_to_date"]["total"] for record in records}


@pytest.mark.long
def test_an_older_home_is_opened_whole(older: World, tmp_path: Path) -> None:
    assert version_of(older) < VERSION, "else it is no older home"
    before = newest_batch(older)
    assert run(older, "score")
    now = newest_batch(older)
    assert now["user_id"].to_list() == before["user_id"].to_list()
    for column in ("rfm", "segments", "value_to_date"):
        assert now[column].to_list() == before[column].to_list(), column
    assert intent(now) == intent(before)
    assert Loader(older.definition, older.settings).versions() == {"purchase": "1"}
    run(older, "materialize")
    assert " 0 differences" in run(older, "reconcile")
    server = Server(older, tmp_path / "log", PROPENSITY_AUTH="off", PROPENSITY_CLOCK=CLOCK)
    try:
        server.ready()
        wanted = spent(older)
        asked = {"user_ids": sorted(wanted)}
        until(lambda: totals(server.client.post("/score", json=asked).json()["records"]) == wanted, 60)
        records = server.client.post("/score", json=asked).json()["records"]
        assert any(record["intent"]["purchase"]["probability"] for record in records)
        for name, (user, amount) in SENT.items():
            message = {"userId": user, "event": "purchase", "messageId": name, "properties": {"revenue": amount}}
            assert server.client.post("/v1/track", json=message).json()["accepted"] == 0, "its ids are known"
    finally:
        server.stop()
    assert version_of(older) == VERSION
    live = LiveLog.open(older.definition, older.settings)
    try:
        assert {message.id for message in live.between(0, live.last(), 1_000)} == set(SENT)
    finally:
        live.close()
    assert "20 events" in run(older, "compact")
    assert " 0 differences" in run(older, "reconcile")
