"""Folders, patterns, partitions and tables that are read as one log."""

import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest

from features.errors import EventLogError
from features.reading.source import EventLog
from tests.features.event_store.csv_logs import COLUMNS, at, csv, opened, rules
from tests.features.reading.places import NAMED, REFUSED, below, lay

COMPLETE = COLUMNS | {"time": "event_time"}


@pytest.mark.parametrize("case", NAMED)
@pytest.mark.parametrize("address", ["", "file://"])
def test_paths_name_the_same_files_on_each_engine(tmp_path: Path, case: str, address: str) -> None:
    """Spark's part is in `tests/features/spark/test_places.py`."""
    lay(tmp_path)
    path, named = NAMED[case]
    events = EventLog(rules(tmp_path, below(f"{address}{tmp_path}", path), columns=COMPLETE)).read()
    assert set(events.users) == named


@pytest.mark.parametrize(("path", "answer"), REFUSED.items())
def test_paths_are_refused_alike_on_each_engine(tmp_path: Path, path: str, answer: str) -> None:
    lay(tmp_path)
    with pytest.raises(EventLogError, match=answer):
        EventLog(rules(tmp_path, below(str(tmp_path), path), columns=COMPLETE))


def hive(folder: Path) -> None:
    for day in ("2026-01-03", "2026-01-04"):
        for part in (0, 1):
            file = folder / "hive" / f"date={day}" / f"part-{part}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            pl.DataFrame({"user_id": ["a", "b"], "event": "purchase", "revenue": float(part)}).write_parquet(file)
    (folder / "hive" / "_SUCCESS").touch()
    (folder / "hive" / "date=2026-01-03" / ".part-0.parquet.crc").touch()


@pytest.mark.parametrize(
    "path",
    [
        "hive",
        "hive/*/*.parquet",
        "hive/date=*/part-*.parquet",
        "hive/**/*.parquet",
        "hive/date=2026-01-0[34]",
        "file://{}/hive",
    ],
)
def test_folders_and_patterns_at_any_level(tmp_path: Path, path: str) -> None:
    hive(tmp_path)
    columns = COLUMNS | {"time": "date"}
    events = opened(rules(tmp_path, path.format(tmp_path), columns=columns), tmp_path).read()
    assert (
        events.t.tolist() == [at(2026, 1, 3)] * 2 + [at(2026, 1, 4)] * 2 + [at(2026, 1, 3)] * 2 + [at(2026, 1, 4)] * 2
    )
    assert events.values.sum() == 4


def test_a_partition_can_be_asked_about_and_is_text(tmp_path: Path) -> None:
    hive(tmp_path)
    definition = rules(tmp_path, "hive", columns=COLUMNS | {"time": "date"}, exclude=["date = '2026-01-03'"])
    log = EventLog(definition)
    assert log.columns["date"] == "VARCHAR"
    assert set(log.read().t.tolist()) == {at(2026, 1, 4)}


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("s3://bucket/log/*.parquet", "not on this machine.*PROPENSITY_ENGINE=spark"),
        ("delta", "is a Delta table"),
        ("mixed/**/*.parquet", "different partitions"),
        ("nothing/**/*.parquet", "no file at"),
    ],
)
def test_places_that_are_not_read(tmp_path: Path, path: str, answer: str) -> None:
    hive(tmp_path)
    (tmp_path / "delta" / "_delta_log").mkdir(parents=True)
    shutil.copytree(tmp_path / "hive", tmp_path / "mixed")
    shutil.copy(tmp_path / "hive" / "date=2026-01-03" / "part-0.parquet", tmp_path / "mixed" / "x.parquet")
    with pytest.raises(EventLogError, match=answer):
        EventLog(rules(tmp_path, path))


def test_a_table_of_a_duckdb_file_and_a_view(tmp_path: Path) -> None:
    csv(tmp_path, "under.csv", ["2026-01-03"] * 3, amounts=[1, 2, 3])
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        connection.execute(f"CREATE VIEW v AS SELECT * FROM read_csv('{tmp_path}/under.csv')")
        connection.execute("CREATE TABLE t AS FROM v")
    table, view = (rules(tmp_path, "a.duckdb", table=name) for name in "tv")
    assert not EventLog(table).is_view
    assert EventLog(view).is_view
    first = opened(view, tmp_path)
    assert opened(view, tmp_path).manifest == first.manifest, "nothing has changed"
    csv(tmp_path, "under.csv", ["2026-01-03"] * 4, amounts=[1, 2, 3, 5])
    assert opened(view, tmp_path).read().values.sum() == 11
    assert opened(table, tmp_path).read().values.sum() == 6
