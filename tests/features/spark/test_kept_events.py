"""Events that executors keep are those that the local engine keeps, user by user, cell by cell."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from features.definition import Definition
from features.errors import EventLogError
from features.event_store.manifest import Manifest
from features.event_store.store import EventStore
from features.event_store.stored_events import StoredEvents
from features.events.tombstones import Tombstones
from features.reading.source import EventLog
from features.settings import Settings
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.spark.needed import ON_SPARK, need_spark

need_spark()

from features.spark.intake import taken as intake  # noqa: E402 - only where Spark is
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
    """All rows of a store, in one order."""
    found = []
    for bucket in store.buckets:
        users = store.bucket(bucket, ends=2**62).users.to_list()
        assert users == sorted(users)
        rows = store.rows_of(bucket, users, through=store.manifest.position).sorted()
        found.append(pl.DataFrame(rows.table()).drop("file").cast({"user": pl.String}))
    rows = pl.concat(found)
    return rows.sort(rows.columns)


def at(settings: Settings, home: Path) -> Settings:
    return settings.model_copy(update={"home": home / "var"})


def settle(folder: Path, seconds: int = 1_700_000_000) -> None:
    """Let the log's files be older than a tick of any clock."""
    for file in (folder / "log").glob("*"):
        os.utime(file, (seconds, seconds))


def assert_same(found: StoredEvents, expected: EventStore) -> None:
    assert_frame_equal(rows_of(found), rows_of(expected))
    for part in found.manifest.parts:
        rows = found._files.read([part], ids=False)
        assert (part.rows, part.first, part.last) == (len(rows.t), rows.t.min(), rows.t.max())
        assert sum(part.blocks.values()) == part.rows
    known, wanted = found.manifest, expected.manifest
    assert (known.duplicates, known.differing, known.shared) == (wanted.duplicates, wanted.differing, wanted.shared)
    assert found.counts == expected.counts


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}


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


@pytest.mark.parametrize("kind", ["with arrivals", "without arrivals", "without ids", "csv", "computed"])
def test_days_are_taken_in_alone_and_make_what_all_of_them_make(
    tmp_path: Path, spark_settings: Settings, kind: str
) -> None:
    """Retries, corrections and ids of other users come days later, and before the first rows by their arrival."""
    definition = repeated(tmp_path)
    columns = definition.events.columns
    without = {"without arrivals": {"arrived": None}, "without ids": {"id": None},
               "computed": {"user": "COALESCE(known, user_id)"}}.get(kind, {})  # fmt: skip
    events = definition.events.model_copy(update={"columns": columns.model_copy(update=without)})
    if kind == "csv":
        events = events.model_copy(update={"path": str(tmp_path / "log" / "*.csv")})
    definition = definition.model_copy(update={"events": events})
    every = pl.read_parquet(tmp_path / "log" / "a.parquet")
    (tmp_path / "log" / "a.parquet").unlink()
    days = [every[:900], every[900:1_100], every[1_100:1_150], every[1_150:]]
    seen: list[Manifest] = []
    for i, rows in enumerate(days):
        name = f"{'dacb'[i]}.{'csv' if kind == 'csv' else 'parquet'}"
        if kind == "computed" and i != 1:  # one day lacks the column
            rows = rows.with_columns(known=pl.when(pl.int_range(len(rows)) % 9 == 0).then(pl.lit("u003")))
        rows.write_csv(tmp_path / "log" / name) if kind == "csv" else rows.write_parquet(tmp_path / "log" / name)
        settle(tmp_path)
        local = EventStore.open(EventLog(definition), Settings(home=tmp_path / "local"))
        kept = SparkLog.open(definition, at(spark_settings, tmp_path)).store
        assert_same(kept, local)
        seen.append(kept.manifest)
    assert [state.generation for state in seen] == [0, 0, 0, 0]
    assert [state.position for state in seen] == [1, 2, 3, 4]
    if kind == "without ids":  # else rows of all buckets are corrected
        assert {part.name for part in seen[0].parts} <= {part.name for part in seen[1].parts}
    again = SparkLog.open(definition, at(spark_settings, tmp_path)).store
    assert again.manifest == seen[-1], "nothing is new"
    named = {part.name for part in again.manifest.parts} | {*again.manifest.repeats, "manifest.json"}
    assert files_in(again.folder) == named


def test_a_file_that_changed_makes_all_be_taken_in_again(tmp_path: Path, spark_settings: Settings) -> None:
    definition, settings = repeated(tmp_path), at(spark_settings, tmp_path)
    settle(tmp_path)
    first = SparkLog.open(definition, settings).store.manifest
    put(tmp_path, "a", random_rows(700, users=20, seed=8))
    settle(tmp_path, 1_700_000_100)
    kept = SparkLog.open(definition, settings).store
    assert_same(kept, EventStore.open(EventLog(definition), Settings(home=tmp_path / "local")))
    assert kept.manifest.generation == first.generation + 1


def test_a_day_without_names_of_events_is_refused(tmp_path: Path, spark_settings: Settings) -> None:
    """It would be a day on which nothing happened."""
    definition, settings = repeated(tmp_path), at(spark_settings, tmp_path)
    settle(tmp_path)
    SparkLog.open(definition, settings)
    put(tmp_path, "b", random_rows(40, seed=2).drop("event"))
    with pytest.raises(EventLogError, match=r"events.columns.event is .event., which the log does not have"):
        SparkLog.open(definition, settings)


def test_csv_files_are_read_by_the_names_of_their_columns(tmp_path: Path, spark_settings: Settings) -> None:
    """In whatever order they are written, some without a column, and one without a single byte."""
    rows = random_rows(900, users=30)
    (tmp_path / "log").mkdir()
    orders = [rows.columns, rows.columns[::-1], [*rows.columns[:-1]], [*rows.columns[3:], *rows.columns[:3]]]
    for i, columns in enumerate(orders):
        rows[i * 200 : (i + 1) * 200].select(columns).write_csv(tmp_path / "log" / f"{i}.csv")
    (tmp_path / "log" / "4.csv").touch()
    settle(tmp_path)
    events = definition_in(tmp_path).events.model_copy(update={"path": str(tmp_path / "log" / "*.csv")})
    definition, settings = definition_in(tmp_path).model_copy(update={"events": events}), at(spark_settings, tmp_path)
    kept = SparkLog.open(definition, settings).store
    assert_same(kept, EventStore.open(EventLog(definition), Settings(home=tmp_path / "local")))
    (tmp_path / "log" / "5.csv").touch()
    settle(tmp_path)
    assert_frame_equal(rows_of(SparkLog.open(definition, settings).store), rows_of(kept))


def test_numbers_may_be_of_several_types(tmp_path: Path, spark_settings: Settings) -> None:
    """As pandas writes ids with gaps as floats; text among them is refused."""
    rows = random_rows(600, users=30).with_columns(user_id=pl.col("user_id").str.slice(1).cast(pl.Int64))
    put(tmp_path, "a", rows[:200].with_columns(unused=pl.lit("text")))
    put(tmp_path, "b", rows[200:400].with_columns(pl.col("user_id").cast(pl.Float64), unused=pl.lit(7)))
    put(tmp_path, "c", rows[400:].with_columns(pl.col("user_id").cast(pl.Int32), pl.col("revenue").cast(pl.Float32)))
    settle(tmp_path)
    definition, settings = definition_in(tmp_path), at(spark_settings, tmp_path)
    log = SparkLog.open(definition, settings)
    assert_same(log.store, EventStore.open(EventLog(definition), Settings(home=tmp_path / "local")))
    assert log.look.survey().rows == 600
    put(tmp_path, "d", rows[:9].with_columns(user_id=pl.lit("u")))
    for _ in range(2):  # alone, and with all others
        with pytest.raises(EventLogError, match=r"column 'user_id' holds numbers in some files and text in others"):
            SparkLog.open(definition, settings)
        (tmp_path / "log" / "a.parquet").touch()


def test_a_file_that_was_just_written_is_taken_in_once(tmp_path: Path, spark_settings: Settings) -> None:
    definition, settings = repeated(tmp_path), at(spark_settings, tmp_path)
    first = SparkLog.open(definition, settings).store.manifest
    assert SparkLog.open(definition, settings).store.manifest == first
    file = tmp_path / "log" / "a.parquet"
    before = file.stat()
    content = bytearray(file.read_bytes())
    put(tmp_path, "a", random_rows(900, users=9, seed=3))
    again = file.read_bytes()[: len(content)]
    file.write_bytes(bytes(content[: len(content) - len(again)]) + again)  # of the same size, damaged
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(EventLogError):
        SparkLog.open(definition, settings)


def test_a_store_of_an_older_version_is_taken_in_again(tmp_path: Path, spark_settings: Settings) -> None:
    """It did not say which files it had."""
    definition, settings = repeated(tmp_path), at(spark_settings, tmp_path)
    settle(tmp_path)
    first = SparkLog.open(definition, settings).store
    older = first.manifest.model_copy(update={"files": [], "repeats": [], "columns": {}})
    older.save(first.folder)
    kept = SparkLog.open(definition, settings).store
    assert_same(kept, EventStore.open(EventLog(definition), Settings(home=tmp_path / "local")))
    assert kept.manifest.generation == 1


def test_a_column_of_text_that_looked_like_numbers_is_text_in_all_files(
    tmp_path: Path, spark_settings: Settings
) -> None:
    (tmp_path / "log").mkdir()
    signals = {"visit": {"where": "event = 'visit'", "activity": True}, "basic": {"where": "plan = '7'"}}
    columns = {"user": "user_id", "event": "event", "time": "at"}
    events = {"path": str(tmp_path / "log" / "*.csv"), "columns": columns, "ends": "2025-06-01T00:00:00Z"}
    outcomes = {"churn": {"will_not": "visit", "within": "3d", "among": "tenure_days >= 0"}}
    definition = definition_in(tmp_path, signals=signals, events=events, outcomes=outcomes)
    found = []
    for name, plans in (("a", ["7", "8"] * 20), ("b", ["7x", "7"] * 20), ("c", ["9", "07"] * 20)):
        rows = [f"u{i % 9},visit,2025-03-0{1 + i % 9} 10:00:00,{plan}" for i, plan in enumerate(plans)]
        (tmp_path / "log" / f"{name}.csv").write_text("\n".join(["user_id,event,at,plan", *rows]))
        settle(tmp_path)
        kept = SparkLog.open(definition, at(spark_settings, tmp_path)).store
        found.append((kept.manifest.columns["plan"], kept.manifest.generation, int((kept.read().mask & 2 > 0).sum())))
    assert found == [("double", 0, 20), ("string", 1, 40), ("string", 1, 40)]


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
