"""A home whose batch runs on Spark: late events, reconciliation, compaction and erasure are those of one machine."""

from pathlib import Path

import polars as pl
import pytest

from features.events.tombstones import Tombstones
from features.settings import Settings
from features.time import DAY, HOUR
from serving.ingest.reconcile import reconcile
from serving.upkeep.erase import erase
from tests.features.spark.conftest import spark_settings
from tests.features.spark.needed import ON_SPARK, need_spark
from tests.serving.ingest.scenes import BEGIN, Scene, message
from tests.serving.kept import holding

need_spark()

pytestmark = ON_SPARK

__all__ = ["spark_settings"]


@pytest.fixture
def settings(spark_settings: Settings, tmp_path: Path) -> Settings:
    return spark_settings.model_copy(update={"home": tmp_path / "var"})


def as_the_batch(scene: Scene, sent: list) -> None:
    assert scene.stored() == scene.batch(sent)
    done = reconcile(scene.definition, scene.settings, scene.live)
    assert done.users == len(scene.stored())
    assert done.differences == []


def test_late_events_are_folded_in_at_once(tmp_path: Path, settings: Settings) -> None:
    """They need all that is known of a user: what the files hold, and what was compacted."""
    scene = Scene.set(tmp_path, settings)
    sent = [
        message(0, "u000", "visit", BEGIN + HOUR),
        message(1, "u001", "purchase", BEGIN + 2 * HOUR, late=75 * DAY, revenue=3.5),
        message(2, "new1", "visit", BEGIN + 3 * HOUR),
        message(3, "new1", "visit", BEGIN + 4 * HOUR, late=3 * HOUR),
    ]
    scene.live.append(sent)
    scene.live.append(sent[1:2])
    scene.fold()
    as_the_batch(scene, sent)
    for night in range(2):
        scene.compact()
        scene.materialize()
        as_the_batch(scene, sent)
        late = [message(10 + night, user, "visit", BEGIN + (9 + night) * HOUR, late=(60 - night) * DAY)
                for user in ("u000", "u002", "new1")]  # fmt: skip
        scene.live.append(late)
        sent += late
        scene.fold()
        as_the_batch(scene, sent)
    scene.live.close()


def test_a_damaged_profile_is_found_and_mended(tmp_path: Path, settings: Settings) -> None:
    scene = Scene.set(tmp_path, settings)
    before = scene.stored()
    scene.online.remove(["u003"])
    done = reconcile(scene.definition, scene.settings, scene.live, repair=True)
    assert [(one.user, one.why) for one in done.differences] == [("u003", "missing")]
    assert done.repaired == 1
    assert scene.stored() == before
    scene.live.close()


def test_an_erased_user_is_in_nothing_that_executors_have_kept(tmp_path: Path, settings: Settings) -> None:
    scene = Scene.set(tmp_path, settings)
    scene.live.append([message(0, "u004", "visit", BEGIN + HOUR), message(1, "u005", "visit", BEGIN + HOUR)])
    scene.fold()
    scene.compact()
    scene.materialize()
    report = erase(scene.definition, scene.settings, scene.memberships, ["u004"])
    for place in ("event store", "kept profiles", "compacted events", "online store"):
        assert report.removed[place] > 0, place
    assert set(report.left.values()) == {0}
    assert holding(scene.settings.home, "u004") == []
    late = message(2, "u005", "visit", BEGIN + 2 * HOUR, late=40 * DAY)
    scene.live.append([late])
    scene.fold()
    assert reconcile(scene.definition, scene.settings, scene.live).differences == []
    scene.materialize()
    assert "u004" not in scene.stored()
    assert holding(scene.settings.home, "u004") == []
    assert Tombstones.load(scene.settings.events(scene.definition.name)).among(["u004"])
    scene.live.close()


def test_both_engines_may_work_on_a_home_by_turns(tmp_path: Path, settings: Settings) -> None:
    scene = Scene.set(tmp_path, settings)
    sent = []
    for turn, engine in enumerate(["local", "spark", "spark", "local", "spark"]):
        scene.settings = settings.model_copy(update={"engine": engine})
        new = [message(2 * turn + i, user, "visit", BEGIN + turn * DAY + i, late=(50 + turn) * DAY)
               for i, user in enumerate(("u006", f"new{turn}"))]  # fmt: skip
        scene.live.append(new)
        sent += new
        scene.fold()
        as_the_batch(scene, sent)
        scene.compact()
        scene.materialize()
        as_the_batch(scene, sent)
    scene.live.close()


@pytest.mark.parametrize("engine", ["local", "spark"])
def test_who_is_no_longer_in_the_log_is_no_longer_online(tmp_path: Path, settings: Settings, engine: str) -> None:
    """Whichever engine has folded the log before."""
    scene = Scene.set(tmp_path, settings.model_copy(update={"engine": engine}))
    assert "u007" in scene.stored()
    scene.settings = settings
    file = tmp_path / "log" / "a.parquet"
    pl.read_parquet(file).filter(pl.col("user_id") != "u007").write_parquet(file)
    scene.materialize()
    assert "u007" not in scene.stored()
    assert "u006" in scene.stored()
    scene.live.close()
