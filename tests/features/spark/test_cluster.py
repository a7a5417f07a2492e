"""A cluster whose machines do not see this machine's home: all that they get and make goes through a bucket."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal

from features.definition import Definition
from features.definition.file.load import load_definition
from features.event_store.distributed import HANDED
from features.events.write import part_files
from features.feature_store import OnlineProfiles
from features.settings import Settings
from tests.buckets import KEYS, Buckets, bucket_server
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.spark.needed import ON_SPARK, need_spark
from tests.features.spark.stores import settle

need_spark()

pytestmark = ON_SPARK

ROOT = Path(__file__).parents[3]
HOST = "127.0.0.1"


def need_mounts() -> None:
    """Skip where a program cannot be given a file system of its own."""
    tried = shutil.which("unshare") and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    if not tried or tried.returncode:
        pytest.skip("hiding a folder from a program needs unshare -m, and the rights for it")


@contextmanager
def running(command: list[str], log: Path, env: dict[str, str]) -> Iterator[None]:
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=env) as program:
        try:
            yield
        finally:
            program.terminate()
            program.wait(20)


def wait_for(log: Path, text: str) -> None:
    end = time.monotonic() + 60
    while text not in log.read_text():
        assert time.monotonic() < end, log.read_text()[-2_000:]
        time.sleep(0.2)


@contextmanager
def cluster(folder: Path, hidden: Path, env: dict[str, str]) -> Iterator[str]:
    """A master and a worker, which sees an empty folder in the place of one; the address of the master."""
    import pyspark

    start = str(Path(pyspark.__file__).parent / "bin" / "spark-class")
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    address, deploy = f"spark://{HOST}:{port}", "org.apache.spark.deploy"
    master = [start, f"{deploy}.master.Master", "--host", HOST, "--port", str(port), "--webui-port", "0"]
    worker = [start, f"{deploy}.worker.Worker", "--host", HOST, "--webui-port", "0", "--cores", "2", "--memory", "1g",
              "--work-dir", str(folder / "work"), address]  # fmt: skip
    hide = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden)]
    with ExitStack() as both:
        both.enter_context(running(master, folder / "master.log", env))
        wait_for(folder / "master.log", "I have been elected leader")
        both.enter_context(running([*hide, *worker], folder / "worker.log", env))
        wait_for(folder / "worker.log", "Successfully registered with master")
        yield address


def online(definition: Definition, settings: Settings) -> dict[str, tuple[bytes | None, str]]:
    read = OnlineProfiles(definition, settings).read_covered([f"u{u:03d}" for u in range(80)])
    return {user: (profile.words, profile.traits) for user, profile in read.profiles.items()}


def program(env: dict[str, str], command: str) -> subprocess.CompletedProcess[str]:
    given = [sys.executable, "-m", "propensity", command]
    return subprocess.run(given, env=env, capture_output=True, text=True, timeout=300, check=False)


def rows_of(home: Path, definition: Definition, kind: str) -> pl.DataFrame:
    return pl.concat(map(pl.read_parquet, part_files(home / definition.name / kind))).sort("user_id")


def test_a_night_on_machines_that_share_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_server: str
) -> None:
    need_mounts()
    put(tmp_path, "a", random_rows(4_000, users=70))
    settle(tmp_path)
    traits = pl.DataFrame({"user_id": [f"u{u:03d}" for u in range(80)], "plan": ["free", "pro"] * 40})
    traits = traits.with_columns(set_at=pl.lit("2025-03-02"))
    traits.write_parquet(tmp_path / "traits.parquet")
    table = {"path": str(tmp_path / "traits.parquet"), "columns": {"user": "user_id", "known": "set_at"},
             "fields": ["plan"]}  # fmt: skip
    definition = definition_in(tmp_path, traits=table)
    written = definition.model_dump(mode="json", exclude_unset=True)
    (tmp_path / "propensity.yaml").write_text(yaml.safe_dump(written))
    definition = load_definition(tmp_path / "propensity.yaml")
    home = tmp_path / "var"
    home.mkdir()
    with bucket_server() as server:
        buckets = Buckets(server, monkeypatch)
        bucket = buckets.make()
        env = os.environ | KEYS | {
            "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable, "PROPENSITY_ENGINE": "spark",
            "PROPENSITY_HOME": str(home), "PROPENSITY_DEFINITION": str(tmp_path / "propensity.yaml"),
            "PROPENSITY_SHARED": buckets.address(f"{bucket}/ours"), "SPARK_LOCAL_IP": HOST,
            "PYSPARK_SUBMIT_ARGS": "--conf spark.ui.enabled=false pyspark-shell",
        }  # fmt: skip
        with cluster(tmp_path, home, env) as address:
            elsewhere = {
                "PROPENSITY_SPARK": address,
                "PROPENSITY_ONLINE_STORE": "redis",
                "PROPENSITY_REDIS": redis_server,
            }
            alone = program(env | elsewhere | {"PROPENSITY_SHARED": ""}, "materialize")
            assert alone.returncode == 2
            assert "Spark's executors have no folder for" in alone.stderr
            assert "PROPENSITY_SHARED" in alone.stderr
            here = {"PROPENSITY_ENGINE": "local", "PROPENSITY_HOME": str(tmp_path / "local")}
            for command in ("score", "materialize"):
                for where in (elsewhere, here):
                    done = program(env | where, command)
                    assert done.returncode == 0, done.stderr[-3_000:]
            found = online(definition, Settings(home=home, online_store="redis", redis=redis_server))
            assert len(found) >= 70
            assert found == online(definition, Settings(home=tmp_path / "local"))
            for kind in ("scores", "population"):
                assert_frame_equal(rows_of(home, definition, kind), rows_of(tmp_path / "local", definition, kind))
        assert any("/bucket-" in key for key in buckets.keys(bucket))
        assert not [key for key in buckets.keys(bucket) if f"/{HANDED}/" in key], "what was handed over is gone"
