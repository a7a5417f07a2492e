"""Days are taken in alone by executors; files that changed, that lack columns, or are of several types."""

import os
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.errors import EventLogError
from features.event_store.manifest import Manifest
from features.event_store.store import EventStore
from features.reading.source import EventLog
from features.settings import Settings
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.spark.needed import ON_SPARK, need_spark
from tests.features.spark.stores import assert_same, at, files_in, repeated, rows_of, settle

need_spark()

from features.spark.log import SparkLog  # noqa: E402

pytestmark = ON_SPARK


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
    earlier = files_in(kept.folder)
    del kept
    again = SparkLog.open(definition, at(spark_settings, tmp_path)).store
    assert again.manifest == seen[-1], "nothing is new"
    named = {part.name for part in again.manifest.parts} | {*again.manifest.repeats, "manifest.json"}
    assert files_in(again.folder) == named
    if kind != "without ids":  # parts that were read then stayed for as long
        assert earlier > named


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
