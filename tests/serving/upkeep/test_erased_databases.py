"""Nothing of erased users stays in the files of databases, nor in their logs."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from features.errors import UnavailableError
from features.time import HOUR
from serving.upkeep import sqlite_files
from tests.serving.ingest.scenes import BEGIN, Scene, message
from tests.serving.kept import holding
from tests.serving.upkeep.erasing import WHO, erased, scene

__all__ = ["scene"]


def test_rows_that_an_older_version_deleted_leave_no_bytes(scene: Scene) -> None:
    file = scene.settings.folder(scene.definition.name) / "live.db"
    scene.live.close()
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("CREATE TABLE before (what TEXT)")
    connection.executemany("INSERT INTO before VALUES (?)", [(f"{WHO} did {i} {'x' * 500}",) for i in range(100)])
    connection.execute("DELETE FROM before")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert WHO.encode() in file.read_bytes()
    erased(scene)
    assert holding(scene.settings.home, WHO) == []


def test_a_database_that_is_being_read_is_reported_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_files, "_WAIT", 0.05)
    reader = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    reader.execute("PRAGMA journal_mode = WAL")
    reader.execute("CREATE TABLE rows (x TEXT)")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM rows").fetchall()
    with sqlite3.connect(tmp_path / "a.db") as writer:
        writer.execute("INSERT INTO rows VALUES ('u')")
    writer.close()
    with pytest.raises(UnavailableError, match="in use"):
        sqlite_files.scrub([tmp_path / "a.db"], ["u"])
    reader.close()
    sqlite_files.scrub([tmp_path / "a.db"], ["someone"])


#: holds the lock that SQLite holds while it moves a log into a database (WAL_CKPT_LOCK, byte 121 of its index)
MOVING = """
import fcntl, sys, time
with open(sys.argv[1], "r+b") as index:
    fcntl.lockf(index, fcntl.LOCK_EX, 1, 121)
    print("held", flush=True)
    time.sleep(0.5)
"""


@contextmanager
def being_moved(file: Path) -> Iterator[None]:
    """Another program moves a database's log for half a second from now on."""
    other = subprocess.Popen([sys.executable, "-c", MOVING, f"{file}-shm"], stdout=subprocess.PIPE, text=True)
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield
    assert other.returncode == 0


def test_an_erasure_waits_while_another_program_moves_the_log_of_a_database(tmp_path: Path) -> None:
    file = tmp_path / "live.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE kept (user TEXT)")
        with being_moved(file):
            sqlite_files.scrub([file], ["u2"])
        assert Path(f"{file}-wal").stat().st_size == 0


def test_what_named_an_erased_user_last_is_moved_out_of_the_live_logs_log(scene: Scene) -> None:
    file = scene.live.file
    assert file is not None
    with scene.live.reading():
        scene.live.append([message(30, WHO, "visit", BEGIN + 5 * HOUR)])
    assert Path(f"{file}-wal").stat().st_size
    with being_moved(file):
        scene.live.settle()
    assert Path(f"{file}-wal").stat().st_size == 0
