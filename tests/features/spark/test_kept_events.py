"""Events that executors keep are those that the local engine keeps, user by user, cell by cell."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.definition import Definition
from features.event_store import distributed
from features.event_store.distributed import keep_events
from features.event_store.manifest import Manifest
from features.event_store.store import EventStore
from features.event_store.stored_events import StoredEvents
from features.events.tombstones import Tombstones
from features.reading.source import EventLog
from features.settings import Settings
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.spark.needed import ON_SPARK, need_spark

need_spark()

from features.spark import event_files  # noqa: E402 - only where Spark is
from features.spark.log import SparkLog  # noqa: E402

pytestmark = ON_SPARK


def repeated(folder: Path) -> Definition:
    """Rows that come twice, corrected ones, ids of several users, rows without an id, and events that value counts."""
    rows = random_rows(3_000, users=70)
    rng = np.random.default_rng(3)
    again = rows.sample(300, seed=4)
    corrected = again.head(100).with_columns(
        revenue=pl.col("revenue") + 1, arrived_at=pl.col("arrived_at") + pl.duration(hours=3)
    )
    others = again.tail(60).with_columns(user_id=pl.lit("u001"))
    nameless = rows.sample(50, seed=5).with_columns(event_id=pl.lit(None, pl.String))
    every = pl.concat([rows, again, corrected, others, nameless])
    put(folder, "a", every[rng.permutation(len(every))])
    return definition_in(folder)


def rows_of(store: StoredEvents) -> pl.DataFrame:
    """All rows of a store, in its order of users and within them."""
    found = []
    for bucket in store.buckets:
        users = store.bucket(bucket, ends=2**62).users.to_list()
        assert users == sorted(users)
        table = store.rows_of(bucket, users, through=store.manifest.position).table()
        found.append(pl.DataFrame(table).drop("file").cast({"user": pl.String}))
    return pl.concat(found)


def both(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, buckets: int
) -> tuple[StoredEvents, EventStore]:
    definition = repeated(folder)
    local = EventStore.open(EventLog(definition), Settings(home=folder / "var"))
    monkeypatch.setattr(distributed, "BUCKET_ROWS", -(-SparkLog(definition, settings).n_events // buckets))
    return keep_events(SparkLog(definition, settings), folder / "kept"), local


@pytest.mark.parametrize("buckets", [1, 7])
def test_rows_are_those_of_the_local_engine(
    tmp_path: Path, spark_settings: Settings, monkeypatch: pytest.MonkeyPatch, buckets: int
) -> None:
    kept, local = both(tmp_path, spark_settings, monkeypatch, buckets)
    assert kept.manifest.buckets == buckets
    assert len(kept.manifest.parts) == buckets
    found, expected = rows_of(kept), rows_of(local)
    assert len(expected) > 2_000
    assert_frame_equal(found.sort("user", maintain_order=True), expected.sort("user", maintain_order=True))
    for part in kept.manifest.parts:
        rows = kept.bucket(part.bucket, ends=2**62)
        assert (part.rows, part.first, part.last) == (len(rows.t), rows.t.min(), rows.t.max())
        assert sum(part.blocks.values()) == part.rows


def test_few_groups_of_rows_are_read_for_a_user(
    tmp_path: Path, spark_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that Spark writes say whose rows their groups have."""
    import pyarrow.parquet as pq

    monkeypatch.setattr(event_files, "ROW_GROUP", 8_192)
    kept, _ = both(tmp_path, spark_settings, monkeypatch, 1)
    [part] = kept.manifest.parts
    metadata = pq.read_metadata(kept.folder / part.name)
    assert metadata.num_row_groups > 3
    column = metadata.schema.names.index("user")
    assert all(metadata.row_group(i).column(column).statistics.has_min_max for i in range(metadata.num_row_groups))
    one = kept.rows_of(0, ["u033"], through=1)
    assert len(one.t) == int((rows_of(kept)["user"] == "u033").sum())


def test_a_run_that_is_killed_leaves_the_events_before_it(
    tmp_path: Path, spark_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = repeated(tmp_path)
    first = keep_events(SparkLog(definition, spark_settings), tmp_path)
    before = rows_of(first)
    put(tmp_path, "b", random_rows(200, users=9, seed=2))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Manifest, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            keep_events(SparkLog(definition, spark_settings), tmp_path)
    again = StoredEvents(first.log, tmp_path)
    assert_frame_equal(rows_of(again), before)
    now = keep_events(SparkLog(definition, spark_settings), tmp_path)
    local = EventStore.open(EventLog(definition), Settings(home=tmp_path / "var"))
    assert_frame_equal(rows_of(now), rows_of(local))
    assert now.manifest.name != first.manifest.name
    files = {path.name for path in now.folder.iterdir() if not path.name.startswith(".")}
    assert files == {"manifest.json", *(part.name for part in now.manifest.parts)}


def test_who_is_erased_while_events_are_written_is_not_in_them(
    tmp_path: Path, spark_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = repeated(tmp_path)
    log = SparkLog(definition, spark_settings)
    Tombstones.of(["u003"]).save(tmp_path)
    kept = keep_events(log, tmp_path)
    assert "u003" not in rows_of(kept)["user"]
    assert "u004" in rows_of(kept)["user"]
