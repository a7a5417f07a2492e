"""Feast's own materialisation reads the profiles that were kept as Parquet."""

from datetime import UTC, datetime

from features.store import PROFILE_VIEW, OnlineProfiles, open_store
from tests.conftest import World


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
