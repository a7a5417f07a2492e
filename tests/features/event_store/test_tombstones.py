"""Tombstones keep out who was erased, and nobody else."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from features.definition import Definition
from features.event_store.store import EventStore
from features.events.compacted import Compacted
from features.events.hashing import hashed_names
from features.events.tombstones import Tombstones, digest_of
from features.reading.source import EventLog
from features.settings import Settings
from features.traits import latest_traits, read_traits, write_traits
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.worlds import DEFINITION


def key_of(user: str) -> int:
    return int(hashed_names([user])[0])


def colliding(user: str, with_user: str) -> str:
    """The tombstone of somebody whose id has another's 64 bits, as an id that was chosen for it would have."""
    return f"{key_of(with_user) & 2**64 - 1:016x}-{digest_of(user)}"


def test_they_are_kept_and_read_again(tmp_path: Path) -> None:
    users = [f"u{i}" for i in range(50)] + ["ü", "a b", "@"]
    Tombstones.of(users[:10]).save(tmp_path)
    (Tombstones.load(tmp_path) | Tombstones.of(users)).save(tmp_path)
    stones = Tombstones.load(tmp_path)
    assert len(stones.marks) == len(users)
    assert stones.among([*users, "u50", ""]) == set(users)
    asked = pa.chunked_array([["u3", "u50", "u3"], ["x", "ü"]])
    assert stones.flags(asked).tolist() == [True, False, True, False, True]


def test_those_of_before_there_were_digests_or_a_checksum_are_honoured(tmp_path: Path) -> None:
    (unsealed,) = Tombstones.of(["unsealed"]).marks
    (tmp_path / "erased.json").write_text(f'[{key_of("old")}, "{unsealed}"]')
    stones = Tombstones.load(tmp_path) | Tombstones.of(["new"])
    stones.save(tmp_path)
    assert Tombstones.load(tmp_path).among(["old", "unsealed", "new", "other"]) == {"old", "unsealed", "new"}


def test_an_id_chosen_to_collide_erases_nobody_else(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(3_000, users=30))
    definition, settings = definition_in(tmp_path), Settings(home=tmp_path / "var")
    store = EventStore.open(EventLog(definition), settings)
    Tombstones([colliding("attacker", with_user="u007")]).save(settings.events(definition.name))
    put(tmp_path, "b", random_rows(3_000, users=30, seed=2))
    store = EventStore.open(EventLog(definition), settings)
    users = store.read().users.to_list()
    assert "u007" in users
    store.erase(["u007"])
    assert "u007" not in store.read().users


def test_stores_of_other_definitions_lose_the_user_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(3_000, users=30))
    definition, settings = definition_in(tmp_path), Settings(home=tmp_path / "var")
    signals = dict(list(definition.signals.items())[:1])
    other = definition.model_copy(update={"signals": signals})
    for rules in (definition, other):
        EventStore.open(EventLog(rules), settings)
    EventStore.open(EventLog(definition), settings).erase(["u007"])
    home = settings.events(definition.name)
    parts = list(home.glob("*/bucket-*.parquet"))
    assert len({part.parent for part in parts}) == 2
    for part in parts:
        assert "u007" not in pl.read_parquet(part)["user"].cast(pl.String).to_list()
    store = EventStore.open(EventLog(other), settings)
    assert store.manifest.generation == 0, "it was not rebuilt"
    assert "u008" in store.read().users


def test_a_store_that_an_older_version_wrote_does_not_stop_an_erasure(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(3_000, users=30))
    definition, settings = definition_in(tmp_path), Settings(home=tmp_path / "var")
    other = definition.model_copy(update={"signals": dict(list(definition.signals.items())[:1])})
    EventStore.open(EventLog(other), settings)
    home = settings.events(definition.name)
    for part in home.glob("*/bucket-*.parquet"):
        pl.read_parquet(part).drop("id").write_parquet(part)
    store = EventStore.open(EventLog(definition), settings)
    assert store.erase(["u007"])["u007"] > 0
    assert [folder.name for folder in home.iterdir() if folder.is_dir()] == [store.folder.name]
    assert "u007" not in EventStore.open(EventLog(other), settings).read().users


def test_attributes_of_erased_users_are_not_read(tmp_path: Path) -> None:
    known = pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 3), eager=True, time_zone="UTC")
    rows = {"user": ["u1", " u2 ", "u3"], "known": known, "plan": ["a", "b", "c"], "country": ["AT"] * 3}
    pl.DataFrame(rows).write_parquet(tmp_path / "traits.parquet")
    rule = {"path": str(tmp_path / "traits.parquet"), "columns": {"user": "user", "known": "known"},
            "fields": ["plan", "country"]}  # fmt: skip
    definition = Definition.model_validate(DEFINITION | {"traits": rule})
    settings = Settings(home=tmp_path / "var")
    Tombstones.of(["u1", "u2"]).save(settings.events(definition.name))
    live = Compacted.load(settings.live(definition.name))
    assert read_traits(definition, live)["user"].to_list() == ["u3"]
    latest = latest_traits(definition, int(2e15), live)
    assert latest is not None
    assert latest["user"].to_list() == ["u3"]
    write_traits(definition, tmp_path / "written.parquet", live)
    assert pl.read_parquet(tmp_path / "written.parquet")["user"].to_list() == ["u3"]


def test_flags_of_a_log_without_erased_users_cost_nothing() -> None:
    assert not Tombstones().flags(pa.array(["a", "b"])).any()
    assert Tombstones().keys.dtype == np.int64
