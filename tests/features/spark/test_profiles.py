"""Profiles that executors fold go on from those of the night before, in the files of the local engine."""

from pathlib import Path

import polars as pl

from features.definition import Definition
from features.event_store.store import EventStore
from features.feature_store import OnlineProfiles
from features.feature_store.objects import profiles_path
from features.profile.codec import stored_words
from features.profile.manifest import ProfileManifest
from features.profile.stored import Profiles
from features.reading.source import EventLog
from features.settings import Settings
from features.system.files.durable import write_durably
from features.system.files.kept_files import sealed
from serving.upkeep.materialize import materialize
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.profile.days import kept_rows
from tests.features.spark.needed import ON_SPARK, need_spark

need_spark()

from features.spark.log import SparkLog  # noqa: E402 - only where Spark is

pytestmark = ON_SPARK


def kept(definition: Definition, settings: Settings) -> tuple[ProfileManifest, dict[str, tuple[bytes, int]]]:
    """The state of the kept profiles, and of each user the words and what is still to be seen."""
    profiles = Profiles(definition, profiles_path(definition, settings.folder(definition.name)))
    assert profiles.manifest is not None
    rows = kept_rows(profiles).select("user", "profile", "ahead").iter_rows()
    return profiles.manifest, {user: (stored_words(value), ahead) for user, value, ahead in rows}


def night(definition: Definition, settings: Settings) -> int:
    return materialize(SparkLog.open(definition, settings), definition, settings)


def test_a_day_is_folded_into_the_profiles_of_the_night_before(tmp_path: Path, spark_settings: Settings) -> None:
    put(tmp_path, "a", random_rows(3_000, users=90))
    definition = definition_in(tmp_path, name="day-by-day")
    local = Settings(home=tmp_path / "local")
    assert night(definition, spark_settings) == 90
    before, _ = kept(definition, spark_settings)
    for day in range(2, 5):
        put(tmp_path, f"day-{day}", random_rows(10, users=3, seed=day))
        assert night(definition, spark_settings) == 3
        materialize(EventStore.open(EventLog(definition), local), definition, local)
        now, found = kept(definition, spark_settings)
        assert found == kept(definition, local)[1]
    assert now.files == before.files, "what was written the first night is not written again"
    assert any(now.layers.values())
    folder = profiles_path(definition, spark_settings.folder(definition.name))
    assert {file.name for file in folder.rglob("*") if file.is_file()} == {*now.names, "manifest.json"}


def test_profiles_of_an_older_version_are_folded_again_and_nobody_stays_who_is_gone(
    tmp_path: Path, spark_settings: Settings
) -> None:
    """It wrote what was online of everybody into a folder of its own."""
    put(tmp_path, "a", random_rows(500, users=20))
    definition = definition_in(tmp_path, name="of-an-older-version")
    assert night(definition, spark_settings) == 20
    state, found = kept(definition, spark_settings)
    folder = profiles_path(definition, spark_settings.folder(definition.name))
    online = OnlineProfiles(definition, spark_settings)
    everyone = folder / "everyone-of-old"
    everyone.mkdir()
    [value] = online.read_values(["u003"])
    online.write_values(["gone"], [value or b""])
    rows = {"user": ["u003", "gone"], "profile": [value, value]}
    pl.DataFrame(rows).write_parquet(everyone / "part-0.parquet")
    old = state.model_copy(update={"files": {}, "layers": {}, "everyone": everyone.name})
    write_durably(folder / "manifest.json", sealed(old.model_dump_json()))
    assert night(definition, spark_settings) == 21
    assert kept(definition, spark_settings)[1] == found
    assert not everyone.exists()
    assert set(online.read(["u003", "gone"])) == {"u003"}
