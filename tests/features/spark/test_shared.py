"""Machines that share no disk: files go through an object store, and the events stay in it."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.errors import SettingsError, UnavailableError
from features.event_store.distributed import HANDED
from features.event_store.erasure import erase_events
from features.event_store.store import EventStore
from features.event_store.stored_events import StoredEvents
from features.events.compacted import NONE
from features.events.log import Log
from features.events.write import part_files
from features.feature_store import OnlineProfiles
from features.open_log import open_log
from features.reading.source import EventLog
from features.settings import Settings
from features.snapshot import write_snapshots
from features.system.files.places import Place
from features.system.progress import unseen
from serving.scoring.batch import score_all
from serving.scoring.scorer import Scorer
from serving.upkeep.materialize import materialize
from tests.buckets import KEYS, Buckets, bucket_server
from tests.features.event_store.logs import put, random_rows
from tests.features.spark.needed import ON_SPARK, need_spark
from tests.features.spark.rows import CUTOFFS, rows_in
from tests.features.spark.stores import repeated, rows_of, settle
from tests.features.spark.test_people import merging
from training.dataset.attach_labels import Labels
from training.dataset.labelled_rows import LabelledRows

need_spark()

from pyspark.sql import SparkSession  # noqa: E402 - only where Spark is

from features.spark.exchange import MARKS  # noqa: E402
from features.spark.log import SparkLog  # noqa: E402

pytestmark = ON_SPARK


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with bucket_server() as address:
        yield address


@pytest.fixture
def buckets(server: str, monkeypatch: pytest.MonkeyPatch) -> Buckets:
    return Buckets(server, monkeypatch)


@pytest.fixture
def bucket(buckets: Buckets) -> str:
    return buckets.make()


@pytest.fixture
def settings(buckets: Buckets, bucket: str, spark_settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    session = SparkSession.getActiveSession()
    assert session is not None
    of_executors = session.sparkContext.environment  # they were started before there were keys
    of_executors.update(KEYS)
    yield spark_settings.model_copy(update={"home": tmp_path / "var", "shared": buckets.address(f"{bucket}/ours")})
    for name in KEYS:
        del of_executors[name]


def test_all_that_executors_make_is_what_the_local_engine_makes(
    tmp_path: Path, settings: Settings, buckets: Buckets, bucket: str
) -> None:
    """Snapshots, labels, scores, everybody's columns and profiles online, with attributes and merged ids."""
    definition = merging(tmp_path)
    traits = pl.DataFrame({"user_id": [f"u{u:03d}" for u in range(70)], "plan": ["free", "pro"] * 35})
    traits = traits.with_columns(set_at=pl.lit("2025-03-02"))
    traits.write_parquet(tmp_path / "traits.parquet")
    table = {"path": str(tmp_path / "traits.parquet"), "columns": {"user": "user_id", "known": "set_at"},
             "fields": ["plan"]}  # fmt: skip
    source = definition._source
    definition = type(definition).model_validate(definition.model_dump(exclude_unset=True) | {"traits": table})
    definition._source = source
    local = Settings(home=tmp_path / "local")
    found: list[list[pl.DataFrame]] = []
    for where in (local, settings):
        log: Log = open_log(definition, where, ends=None, steps=unseen)
        folder = tmp_path / where.engine
        write_snapshots(log, CUTOFFS, definition, folder / "snapshots", more=Labels(definition))
        labels = LabelledRows(folder / "snapshots", "churn", definition.training, log.gather).by_cutoff()
        batch = score_all(log, Scorer(definition, {}, None), log.ends, folder / "scores", population=folder / "all")
        materialize(log, definition, where)
        read = OnlineProfiles(definition, where).read_covered(sorted(rows_in(folder / "snapshots")["user"].unique()))
        stored = {user: (p.words, p.traits, p.identity) for user, p in read.profiles.items()}
        of_all = [pl.concat(map(pl.read_parquet, part_files(place))) for place in (batch.path, folder / "all")]
        found.append([rows_in(folder / "snapshots"), labels, *(rows.sort("user_id") for rows in of_all)])
        found[-1].append(pl.DataFrame({"user": list(stored), "profile": list(map(repr, stored.values()))}).sort("user"))
        assert materialize(log, definition, where) <= log.people.count * 3, "of ids without events alone"
    for on_spark, expected in zip(found[1], found[0], strict=True):
        assert_frame_equal(on_spark, expected)
    assert len(found[0][4]) > 30
    home = settings.events(definition.name)
    assert not [*home.rglob("bucket-*.parquet")], "the events are in the bucket"
    kept = buckets.keys(bucket)
    assert any("/bucket-" in key for key in kept)
    del log
    assert not [key for key in buckets.keys(bucket) if f"/{HANDED}/" in key], "what was handed over is gone"


def test_days_repeats_and_erasures_in_a_bucket(
    tmp_path: Path, settings: Settings, buckets: Buckets, bucket: str
) -> None:
    definition = repeated(tmp_path)
    settle(tmp_path)
    SparkLog.open(definition, settings)
    put(tmp_path, "b", random_rows(400, users=30))
    settle(tmp_path)
    kept = SparkLog.open(definition, settings).store
    local = EventStore.open(EventLog(definition), Settings(home=tmp_path / "local"))
    assert kept.manifest.generation == 0
    assert_frame_equal(rows_of(kept), rows_of(local))
    named = {f"ours/{'/'.join(kept.folder.parts[-3:])}/{part.name}" for part in kept.manifest.parts}
    local.erase(["u001", "u007"])
    EventStore.open(EventLog(definition), settings).erase(["u001", "u007"])
    erased = SparkLog.open(definition, settings).store
    assert_frame_equal(rows_of(erased), rows_of(local))
    now = {f"ours/{'/'.join(kept.folder.parts[-3:])}/{part.name}" for part in erased.manifest.parts}
    assert set(buckets.keys(bucket)) == now
    assert named - now, "files that held an erased user are removed"


def test_a_home_that_gets_or_loses_its_store_is_taken_in_again(
    tmp_path: Path, settings: Settings, buckets: Buckets, bucket: str
) -> None:
    definition = merging(tmp_path)
    settle(tmp_path)
    alone = settings.model_copy(update={"shared": ""})
    found = [rows_of(SparkLog.open(definition, where).store) for where in (alone, settings, alone)]
    assert_frame_equal(found[0], found[1])
    assert_frame_equal(found[0], found[2])
    assert buckets.keys(bucket) == []


def test_parts_that_are_gone_are_taken_in_again(
    tmp_path: Path, settings: Settings, buckets: Buckets, bucket: str
) -> None:
    """As after a home was restored from a backup, whose parts the store has no more."""
    definition = merging(tmp_path)
    settle(tmp_path)
    first = SparkLog.open(definition, settings).store
    before = rows_of(first)
    buckets.s3.delete_object(Bucket=bucket, Key=buckets.keys(bucket)[0])
    again = SparkLog.open(definition, settings).store
    assert_frame_equal(rows_of(again), before)
    assert again.manifest.generation == first.manifest.generation + 1


def test_a_store_that_does_not_answer(tmp_path: Path, settings: Settings) -> None:
    definition = merging(tmp_path)
    address = "s3://nowhere/ours?endpoint_override=127.0.0.1:1&scheme=http&region=eu-west-1"
    with pytest.raises(UnavailableError, match=r"s3://nowhere/ours.* does not answer"):
        SparkLog.open(definition, settings.model_copy(update={"shared": address}))


def test_a_bucket_that_is_given_up_is_emptied_first(
    tmp_path: Path, settings: Settings, buckets: Buckets, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else no erasure would find what is left there."""
    definition = merging(tmp_path)
    settle(tmp_path)
    first = SparkLog.open(definition, settings).store
    remove, other = Place.remove, buckets.make()
    moved = settings.model_copy(update={"shared": buckets.address(f"{other}/ours")})

    def silent(place: Place, names: list[str] | None = None) -> None:
        if f"s3://{bucket}/" in str(place):
            raise place.silent(OSError("it is down"))
        remove(place, names)

    with monkeypatch.context() as patched:
        patched.setattr(Place, "remove", silent)
        with pytest.raises(UnavailableError, match="it is down"):
            SparkLog.open(definition, moved)
    assert StoredEvents(first.log, settings.events(definition.name)).manifest == first.manifest
    SparkLog.open(definition, moved)
    assert buckets.keys(bucket) == []
    assert any("/bucket-" in key for key in buckets.keys(other))


def test_an_erasure_removes_parts_that_it_cannot_read(
    tmp_path: Path, settings: Settings, buckets: Buckets, bucket: str
) -> None:
    definition = merging(tmp_path)
    settle(tmp_path)
    SparkLog.open(definition, settings)
    for key in buckets.keys(bucket)[:1]:
        buckets.s3.put_object(Bucket=bucket, Key=key, Body=b"no Parquet")
    users = [f"u{u:03d}" for u in range(60)]
    erase_events(definition, settings.events(definition.name), NONE, users)
    assert buckets.keys(bucket) == []


def test_the_next_command_removes_what_a_killed_one_has_handed_over(
    tmp_path: Path, settings: Settings, buckets: Buckets, bucket: str
) -> None:
    definition = merging(tmp_path)
    settle(tmp_path)
    handed = f"ours/{definition.name}/{HANDED}"
    buckets.s3.put_object(Bucket=bucket, Key=f"{handed}/0011aabb/x/part-0.parquet", Body=b"of a killed command")
    buckets.s3.put_object(Bucket=bucket, Key=f"{handed}/ccdd/x/part-0.parquet", Body=b"of another home")
    marks = settings.folder(definition.name) / MARKS
    marks.mkdir(parents=True)
    (marks / "0011aabb").touch()
    log = SparkLog.open(definition, settings)
    assert [key for key in buckets.keys(bucket) if handed in key] == [f"{handed}/ccdd/x/part-0.parquet"]
    assert len([*marks.iterdir()]) == 1
    del log


@pytest.mark.parametrize("secret", ["plain", "with/slash", "with?mark", "with+plus#"])
def test_keys_in_an_address_are_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError, match="PROPENSITY_SHARED holds keys") as raised:
        Settings(shared=f"s3://key:{secret}@bucket/folder?region=x")
    assert secret not in str(raised.value)
    with pytest.raises(SettingsError, match="PROPENSITY_SHARED holds keys"):
        Settings(shared=f"s3://bucket/folder?region=x&secret_key={secret}")
    assert Settings(shared="s3://bucket/folder/?endpoint_override=monkey:9000").shared.startswith("s3://bucket/folder?")


@pytest.mark.parametrize("address", ["/mnt/shared", "s3:bucket", "http://bucket"])
def test_what_is_no_address_of_a_store_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="PROPENSITY_SHARED"):
        Settings(shared=address)
