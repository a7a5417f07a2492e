"""What Spark, its executors and its file systems raise comes as one of our errors, with the value and the remedy."""

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from features.errors import EventLogError, FoldError, PropensityError, SparkError
from features.events.events import Events
from features.settings import Settings
from tests.features.event_store.csv_logs import rules
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.spark.needed import ON_SPARK, need_spark

need_spark()

from pyspark.errors import PySparkException  # noqa: E402 - only where Spark is

from features.spark.errors import in_words  # noqa: E402
from features.spark.log import SparkLog  # noqa: E402
from features.spark.session import open_session  # noqa: E402

pytestmark = ON_SPARK

SCHEMA = pl.Schema({"user": pl.String()})


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("s3a://bucket/events", r"no class org\.apache\.hadoop\.fs\.s3a\.S3AFileSystem.*s3a://bucket/events"),
        ("s3://bucket/events", r"no file system s3://.*s3://bucket/events"),
        ("hdfs://no-such-host.invalid:8020/events", r"no host .*no-such-host\.invalid"),
    ],
)
def test_a_file_system_that_spark_does_not_reach(
    tmp_path: Path, spark_settings: Settings, address: str, answer: str
) -> None:
    with pytest.raises(EventLogError, match=answer) as found:
        SparkLog.open(rules(tmp_path, address), spark_settings)
    assert len(str(found.value)) < 600
    assert "hadoop-aws" in found.value.fix or "events.path" in found.value.fix


def test_a_file_that_is_damaged_or_gone(tmp_path: Path, spark_settings: Settings) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "a.parquet").write_text("this is not Parquet at all")
    with pytest.raises(EventLogError, match=r"a\.parquet is not a Parquet file"):
        SparkLog.open(definition_in(tmp_path), spark_settings)
    (tmp_path / "log" / "a.parquet").unlink()
    with pytest.raises(EventLogError, match=r"no file at .*"):
        SparkLog.open(definition_in(tmp_path), spark_settings)


def _lacking(events: Events) -> Iterator[pl.DataFrame]:
    import a_module_that_is_nowhere  # noqa: F401 # type: ignore[import-not-found]

    yield events.users.to_frame()


def _refusing(events: Events) -> Iterator[pl.DataFrame]:
    raise FoldError(f"the profile of {events.users[0]!r} is broken.", fix="run propensity materialize")
    yield


def _ending(events: Events) -> Iterator[pl.DataFrame]:
    os._exit(137)
    yield


@pytest.mark.parametrize(
    ("work", "kind", "message", "fix"),
    [
        (_lacking, SparkError, "no module a_module_that_is_nowhere", "PYSPARK_PYTHON"),
        (_refusing, FoldError, "the profile of 'u000' is broken.", "run propensity materialize"),
        (_ending, SparkError, "ran out of memory, or lost an executor", "spark.executor.memory"),
    ],
)
def test_what_ends_the_python_of_an_executor(
    tmp_path: Path, spark_settings: Settings, work: object, kind: type[PropensityError], message: str, fix: str
) -> None:
    put(tmp_path, "a", random_rows(30, users=1))
    with pytest.raises(kind, match=message) as found:
        SparkLog.open(definition_in(tmp_path), spark_settings).write(work, SCHEMA, tmp_path / "out")  # type: ignore[arg-type]
    assert fix in found.value.fix


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("java.nio.file.AccessDeniedException: s3a://b/x: getFileStatus: Status Code: 403", "not let to read or write"),
        ("org.apache.hadoop.security.AccessControlException: Permission denied: user=eve", "user=eve"),
        ("NoAuthWithAWSException: No AWS Credentials provided", "no credentials"),
        ('java.io.IOException: Cannot run program "python3.11": error=2', "cannot start python3.11"),
        ("[PYTHON_VERSION_MISMATCH] Python in worker has different version (3, 9)", "another Python than its driver"),
        ("FileNotFoundError: [Errno 2] Failed to open local file '/var/x'. Detail: [errno 2]", "no folder for /var/x"),
        ("FileNotFoundError: No such file or directory (os error 2): /var/x", "executors have no folder for /var/x"),
        ("java.io.IOException: Mkdirs failed to create file:/proc/nowhere", "not let to read or write: Mkdirs failed"),
        ("java.io.IOException: No space left on device", "a disk of Spark is full"),
        ("java.net.ConnectException: Call From a to b:8020 failed: Connection refused", "does not answer Spark"),
        ("java.lang.OutOfMemoryError: Java heap space", "ran out of memory"),
        ("[JAVA_GATEWAY_EXITED] Java gateway process exited before sending its port number.", "Java did not start"),
        ("Could not parse Master URL: 'sparky'", "PROPENSITY_SPARK is 'sparky'"),
        ("java.lang.IllegalStateException: Cannot call methods on a stopped SparkContext.", "Spark has stopped"),
        ("something new\n\tat org.apache", "could not read or work on the log: something new."),
    ],
)
def test_causes_that_a_test_cannot_bring_about(text: str, message: str) -> None:
    with pytest.raises(PropensityError, match=message) as found, in_words("the log"):
        raise PySparkException(text)
    assert found.value.fix
    assert "\n" not in found.value.message


@pytest.mark.parametrize("address", ["spark://127.0.0.1:9", "spark://no-such-host.invalid:7077,127.0.0.1:9"])
def test_a_master_that_does_not_answer(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyspark.sql.SparkSession.getActiveSession", lambda: None)
    with pytest.raises(SparkError, match=f"no master of Spark answers at {address}"):
        open_session(Settings(engine="spark", spark=address))
