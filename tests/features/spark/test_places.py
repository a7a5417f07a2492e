"""Paths name the same files on Spark as locally: on a disk, and in a store such as S3."""

from pathlib import Path

import pytest

from features.errors import EventLogError
from features.reading.source import EventLog
from features.settings import Settings
from features.snapshot import write_snapshots
from tests.features.event_store.csv_logs import COLUMNS, rules
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.reading.places import NAMED, REFUSED, below, lay
from tests.features.spark.needed import ON_SPARK, need_spark
from tests.features.spark.rows import CUTOFFS, rows_in

need_spark()

from features.spark.log import SparkLog  # noqa: E402 - only where Spark is
from features.spark.session import open_session  # noqa: E402

pytestmark = ON_SPARK

COMPLETE = COLUMNS | {"time": "event_time"}


@pytest.fixture(scope="module")
def places(spark_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A log on a disk under three addresses, the last of them that of a store."""
    folder = tmp_path_factory.mktemp("places")
    lay(folder)
    java = open_session(spark_settings).sparkContext._jsc
    java.hadoopConfiguration().set("fs.viewfs.mounttable.store.link./bucket", f"file://{folder}")
    return {"disk": str(folder), "file": f"file://{folder}", "store": "viewfs://store/bucket"}


@pytest.mark.parametrize("case", NAMED)
@pytest.mark.parametrize("where", ["disk", "file", "store"])
def test_paths_name_the_same_files(
    places: dict[str, str], spark_settings: Settings, tmp_path: Path, where: str, case: str
) -> None:
    path, named = NAMED[case]
    log = SparkLog.open(rules(tmp_path, below(places[where], path), columns=COMPLETE), spark_settings)
    assert set(log.store.read().users) == named


@pytest.mark.parametrize("where", ["disk", "store"])
@pytest.mark.parametrize(("path", "answer"), REFUSED.items())
def test_paths_are_refused_alike(
    places: dict[str, str], spark_settings: Settings, tmp_path: Path, path: str, answer: str, where: str
) -> None:
    with pytest.raises(EventLogError, match=answer):
        SparkLog.open(rules(tmp_path, below(places[where], path), columns=COMPLETE), spark_settings)


def test_what_spark_cannot_read_is_said(spark_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.duckdb").touch()
    with pytest.raises(EventLogError, match=r"a\.duckdb is a DuckDB file, which Spark does not read"):
        SparkLog.open(rules(tmp_path, "a.duckdb", columns=COMPLETE), spark_settings)
    (tmp_path / "at 12:30.parquet").touch()
    with pytest.raises(EventLogError, match="has a colon in its name"):
        SparkLog.open(rules(tmp_path, "at*.parquet", columns=COMPLETE), spark_settings)


def test_quotes_and_lines_of_csv_files_are_those_of_the_local_engine(tmp_path: Path, spark_settings: Settings) -> None:
    lines = ["user_id,event,event_time,revenue", '"a ""b"", c",purchase,2026-01-03,1.5', '"d\ne",purchase,2026-01-03,']
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    definition = rules(tmp_path, "log.csv", columns=COMPLETE)
    users = set(EventLog(definition).read().users)
    assert len(users) == 2
    assert set(SparkLog.open(definition, spark_settings).store.read().users) == users


def test_a_home_may_have_a_space_in_its_name(tmp_path: Path, spark_settings: Settings) -> None:
    put(tmp_path, "a", random_rows(300))
    definition, home = definition_in(tmp_path), tmp_path / "my home 100%"
    home.mkdir()
    written = write_snapshots(SparkLog.open(definition, spark_settings), CUTOFFS, definition, home / "snapshots")
    assert len(rows_in(home / "snapshots")) == written > 0
