"""The daemon of Spark's Python: what it leaves out between tasks, and that tasks see what has changed."""

import importlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from zipimport import zipimporter

import pytest

from features.settings import Settings
from tests.features.spark.needed import ON_SPARK, need_spark

need_spark()

pytestmark = ON_SPARK


def put(archive: Path, **modules: str) -> None:
    with zipfile.ZipFile(archive, "a") as file:
        for name, text in modules.items():
            file.writestr(f"{name}.py", text)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python 3.12 reads a zip file when it is asked for a module")
def test_a_zip_file_is_read_again_only_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from features.spark.daemon import read_only_what_changed

    archive, read = tmp_path / "some.zip", []
    put(archive, before_it_changed="at = 1")
    monkeypatch.syspath_prepend(str(archive))
    assert importlib.import_module("before_it_changed").at == 1
    original = zipimporter.invalidate_caches
    monkeypatch.setattr(
        zipimporter,
        "invalidate_caches",
        lambda self: (read.append(self.archive), original(self)),
    )
    read_only_what_changed()
    for _ in range(3):
        importlib.invalidate_caches()
    assert read.count(str(archive)) == 1
    put(archive, after_it_changed="at = 2")
    importlib.invalidate_caches()
    assert importlib.import_module("after_it_changed").at == 2
    archive.unlink()
    for _ in range(2):
        importlib.invalidate_caches()
    assert importlib.util.find_spec("never_there") is None


def test_a_worker_keeps_what_it_has_imported_and_sees_files_that_are_added(
    spark_settings: Settings, tmp_path: Path
) -> None:
    from features.spark.session import open_session

    context = open_session(spark_settings).sparkContext

    def kept(_: int) -> tuple[int, int]:
        import gc

        return gc.get_freeze_count(), len(gc.get_objects())

    context.parallelize(range(8), 8).map(kept).collect()
    for frozen, others in context.parallelize(range(2), 2).map(kept).collect():
        assert frozen > 10 * others, "only what a task makes is looked through"
    put(tmp_path / "sent.zip", sent_to_workers="answer = 42")
    context.addPyFile(str(tmp_path / "sent.zip"))

    def answer(_: int) -> int:
        import sent_to_workers

        return int(sent_to_workers.answer)

    assert context.parallelize(range(4), 4).map(answer).collect() == [42] * 4


def test_a_session_that_we_start_has_it(tmp_path: Path) -> None:
    text = (
        "from features.settings import Settings\n"
        "from features.spark.session import open_session\n"
        "context = open_session(Settings(engine='spark', spark='local[1]')).sparkContext\n"
        "started = context.parallelize([0], 1).map(lambda _: __import__('sys').orig_argv).first()\n"
        "print('features.spark.daemon' in started)\n"
    )
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "PROPENSITY_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.split()[-1] == "True", "workers are forks of our daemon"
