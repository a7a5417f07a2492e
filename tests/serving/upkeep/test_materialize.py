"""Profiles go online when they change, and everybody's where the store has lost them; Feast can do it too."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from features.definition import Definition
from features.event_store.store import EventStore
from features.feature_store import PROFILE_VIEW, OnlineProfiles, open_store
from features.reading.source import EventLog
from features.settings import Settings
from features.time import DAY
from serving.scoring.feature_rows import online_rows
from serving.upkeep.materialize import materialize
from tests.conftest import World
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.profile.days import START, days_of


def test_feast_materialises_the_kept_profiles(world: World) -> None:
    online = OnlineProfiles(world.definition, world.settings)
    users = [f"u{i:07d}" for i in range(3_000)]
    before = online.read(users)
    assert len(before) == 3_000
    (world.settings.folder("demo-shop") / "online.db").rename(world.folder / "kept.db")
    try:
        store = open_store(world.definition, world.settings, apply=True)
        store.materialize(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC), [PROFILE_VIEW])
        assert OnlineProfiles(world.definition, world.settings).read(users) == before
    finally:
        (world.folder / "kept.db").replace(world.settings.folder("demo-shop") / "online.db")


def through(definition: Definition, settings: Settings, instant: int) -> int:
    store = EventStore.open(EventLog(definition, ends=instant), settings)
    return materialize(store, definition, settings)


@pytest.fixture(params=["sqlite", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "sqlite":
        return Settings(home=tmp_path / "var")
    address = request.getfixturevalue("redis_server")
    return Settings(home=tmp_path / "var", online_store="redis", redis=address)


def test_after_a_new_day_only_who_changed_is_written(tmp_path: Path, settings: Settings) -> None:
    days_of(tmp_path)
    day = tmp_path / "log" / "b.parquet"
    held = day.rename(tmp_path / "b.parquet")
    definition = definition_in(tmp_path)
    assert through(definition, settings, START + 12 * DAY) == 200
    assert through(definition, settings, START + 12 * DAY) == 0
    held.rename(day)
    touched = pl.read_parquet(day).filter(pl.col("event") != "push")["user_id"].n_unique()
    assert through(definition, settings, START + 13 * DAY) == touched
    online = OnlineProfiles(definition, settings)
    quiet = online_rows(online, definition, [f"u{i:03d}" for i in range(200)], START + 13 * DAY)
    assert set(quiet.through.tolist()) == {START + 13 * DAY}, "who did nothing is as fresh as the others"


def test_a_store_that_lost_its_profiles_gets_them_again(tmp_path: Path) -> None:
    days_of(tmp_path)
    definition, settings = definition_in(tmp_path), Settings(home=tmp_path / "var")
    through(definition, settings, START + 12 * DAY)
    (settings.folder("small") / "online.db").unlink()
    assert through(definition, settings, START + 12 * DAY) == 200
    assert len(OnlineProfiles(definition, settings).read([f"u{i:03d}" for i in range(200)])) == 200


def test_an_erased_user_is_no_longer_answered(tmp_path: Path, settings: Settings) -> None:
    put(tmp_path, "a", random_rows(2_000, users=50))
    definition = definition_in(tmp_path)
    through(definition, settings, START + 12 * DAY)
    EventStore.open(EventLog(definition, ends=START + 12 * DAY), settings).erase(["u004"])
    assert through(definition, settings, START + 12 * DAY) == 1
    answer = online_rows(OnlineProfiles(definition, settings), definition, ["u004", "u005"], START + 12 * DAY)
    assert answer.rows.users.to_list() == ["u005"]
    assert answer.missing == {"u004": "unknown_user"}
