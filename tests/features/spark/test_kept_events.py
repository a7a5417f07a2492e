"""Events that executors keep are those that the local engine keeps, user by user, cell by cell."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from features.errors import EventLogError
from features.event_store.manifest import Manifest
from features.event_store.store import EventStore
from features.event_store.stored_events import StoredEvents
from features.events.tombstones import Tombstones
from features.reading.source import EventLog
from features.settings import Settings
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.spark.needed import ON_SPARK, need_spark
from tests.features.spark.stores import assert_same, at, files_in, repeated, rows_of, settle

need_spark()

from features.spark.intake import taken as intake  # noqa: E402 - only where Spark is
from features.spark.log import SparkLog  # noqa: E402

pytestmark = ON_SPARK


@pytest.mark.parametrize("buckets", [2, 7])
def test_rows_are_those_of_the_local_engine(
    tmp_path: Path, spark_settings: Settings, monkeypatch: pytest.MonkeyPatch, buckets: int
) -> None:
    definition = repeated(tmp_path)
    local = EventStore.open(EventLog(definition), Settings(home=tmp_path / "local"))
    monkeypatch.setattr(intake, "BUCKET_ROWS", -(-local.counts["rows"] // buckets))
    kept = SparkLog.open(definition, at(spark_settings, tmp_path)).store
    assert kept.manifest.buckets == buckets
    assert_same(kept, local)
    assert kept.manifest.differing > 10
    assert kept.manifest.shared > 10


def test_few_groups_of_rows_are_read_for_a_user(tmp_path: Path, spark_settings: Settings) -> None:
    """Files that executors write say whose rows their groups have."""
    put(tmp_path, "a", random_rows(300_000, users=70))
    kept = SparkLog.open(definition_in(tmp_path), at(spark_settings, tmp_path)).store
    part = kept.manifest.parts[0]
    metadata = pq.read_metadata(kept.folder / part.name)
    assert metadata.num_row_groups > 1
    column = metadata.schema.names.index("user")
    assert all(metadata.row_group(i).column(column).statistics.has_min_max for i in range(metadata.num_row_groups))
    user = kept.bucket(part.bucket).users[0]
    one = kept.rows_of(part.bucket, [user], through=1)
    assert len(one.t) == int((rows_of(kept)["user"] == user).sum())


def test_a_run_that_is_killed_leaves_the_events_before_it(
    tmp_path: Path, spark_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition, settings = repeated(tmp_path), at(spark_settings, tmp_path)
    settle(tmp_path)
    first = SparkLog.open(definition, settings).store
    before = rows_of(first)
    put(tmp_path, "b", random_rows(200, users=9, seed=2))
    settle(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Manifest, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            SparkLog.open(definition, settings)
    assert_frame_equal(rows_of(StoredEvents(first.log, settings.events(definition.name))), before)
    del first
    now = SparkLog.open(definition, settings).store
    assert_same(now, EventStore.open(EventLog(definition), Settings(home=tmp_path / "local")))
    named = {part.name for part in now.manifest.parts} | {*now.manifest.repeats, "manifest.json"}
    assert files_in(now.folder) == named


def test_two_at_once_take_in_everything_once(tmp_path: Path, spark_settings: Settings) -> None:
    definition, settings = repeated(tmp_path), at(spark_settings, tmp_path)
    settle(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: SparkLog.open(definition, settings).store, range(2))
    assert one.manifest == other.manifest
    assert_same(one, EventStore.open(EventLog(definition), Settings(home=tmp_path / "local")))


def test_who_is_erased_while_events_are_written_is_not_in_them(
    tmp_path: Path, spark_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition, settings = repeated(tmp_path), at(spark_settings, tmp_path)
    taking = intake.take_in

    def meanwhile(*given: object) -> Manifest:
        found = taking(*given)  # type: ignore[arg-type]
        Tombstones.of(["u003"]).save(settings.events(definition.name))
        return found

    monkeypatch.setattr(intake, "take_in", meanwhile)
    kept = SparkLog.open(definition, settings).store
    assert "u003" not in rows_of(kept)["user"]
    assert "u004" in rows_of(kept)["user"]


def test_an_erasure_gives_ids_to_who_sent_them_too(tmp_path: Path, spark_settings: Settings) -> None:
    """An erasure rewrites parts that executors have written; later days obey it."""
    definition, settings = repeated(tmp_path), at(spark_settings, tmp_path)
    settle(tmp_path)
    SparkLog.open(definition, settings)
    local = EventStore.open(EventLog(definition), Settings(home=tmp_path / "local"))
    local.erase(["u001", "u007"])
    EventStore.open(EventLog(definition), settings).erase(["u001", "u007"])
    kept = SparkLog.open(definition, settings).store
    assert_frame_equal(rows_of(kept), rows_of(local))
    put(tmp_path, "b", random_rows(400, users=9, seed=2))
    settle(tmp_path)
    local = EventStore.open(EventLog(definition), Settings(home=tmp_path / "local"))
    kept = SparkLog.open(definition, settings).store
    assert_same(kept, local)
    assert kept.manifest.generation == 0


def test_a_log_of_which_nothing_is_left(tmp_path: Path, spark_settings: Settings) -> None:
    put(tmp_path, "a", random_rows(60).with_columns(event=pl.lit("other")))
    with pytest.raises(EventLogError, match="no event is left"):
        SparkLog.open(definition_in(tmp_path), at(spark_settings, tmp_path))
