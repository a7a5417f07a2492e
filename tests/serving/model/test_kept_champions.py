"""Champions are known without MLflow as long as its database has not changed, and never longer."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from features.errors import UnavailableError
from serving.model.registry.loader import Loader
from serving.model.registry.promoted import CHAMPION, KEPT, Kept, registered_name
from tests.conftest import World
from tests.serving.registries import client, twin_of

#: says which libraries a program has imported after it has loaded every champion
PROGRAM = """
import sys
from features.definition import load_definition
from features.settings import Settings
from serving.model.registry.loader import Loader
settings = Settings()
loaded = Loader(load_definition(settings.definition), settings).champions()
print(*sorted(loaded), *(name for name in ("lightgbm", "mlflow", "sklearn") if name in sys.modules))
"""


def loader_of(home: World) -> Loader:
    return Loader(home.definition, home.settings)


def versions_of(home: World) -> dict[str, str]:
    return loader_of(home).versions()


def promote(home: World, outcome: str, version: str) -> None:
    client(home).set_registered_model_alias(registered_name(home.definition, outcome), CHAMPION, version)


@pytest.mark.long
def test_a_second_program_loads_champions_without_mlflow_and_lightgbm(home: World) -> None:
    def loaded() -> list[str]:
        done = home.run(sys.executable, "-c", PROGRAM)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    champions = sorted(versions_of(home))
    assert champions
    (home.settings.home / KEPT).unlink()
    assert loaded() == [*champions, "mlflow"]
    assert loaded() == champions


def test_another_champion_is_seen_at_once(home: World) -> None:
    assert versions_of(home)["churn"] == "1"
    version = twin_of(home, "churn")
    assert versions_of(home)["churn"] == version
    promote(home, "churn", "1")
    assert versions_of(home)["churn"] == "1"
    client(home).delete_registered_model_alias(registered_name(home.definition, "churn"), CHAMPION)
    assert "churn" not in versions_of(home)
    promote(home, "churn", version)
    assert versions_of(home)["churn"] == version


def test_a_restored_database_is_asked(home: World, tmp_path: Path) -> None:
    database, copy = home.settings.home / "mlflow.db", tmp_path / "mlflow.db"
    shutil.copy2(database, copy)
    version = twin_of(home, "churn")
    promote(home, "churn", version)
    assert versions_of(home)["churn"] == version
    shutil.copy2(copy, database)
    assert versions_of(home)["churn"] == "1"


def test_a_home_that_was_copied_with_what_it_keeps_is_asked(home: World, tmp_path: Path) -> None:
    versions_of(home)
    there = tmp_path / "there"
    shutil.copytree(home.settings.home, there)
    settings = home.settings.model_copy(update={"home": there})
    shutil.rmtree(there / "mlartifacts")
    shutil.copytree(home.settings.home / "mlartifacts", there / "mlartifacts")
    assert set(Loader(home.definition, settings).champions()) == set(versions_of(home))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"state": 3}', b'{"state": [1], "champions": {}}'])
def test_kept_answers_that_are_damaged_are_asked_for_again(home: World, content: bytes) -> None:
    before, kept = versions_of(home), home.settings.home / KEPT
    kept.write_bytes(content)
    assert versions_of(home) == before
    assert len(kept.read_bytes()) > len(content)


def test_a_home_that_cannot_be_written_is_asked_each_time(home: World) -> None:
    before, kept = versions_of(home), home.settings.home / KEPT
    kept.unlink()
    kept.mkdir()  # not even root can replace a folder by a file
    (kept / "full").write_text("")
    assert versions_of(home) == before
    shutil.rmtree(kept)


def test_nothing_is_kept_of_a_database_whose_changes_lie_beside_it(home: World, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy2(home.settings.home / "mlflow.db", database)
    assert Kept.of(database) is not None
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE more (one INTEGER)")
        assert Kept.of(database) is None, "a journal lies beside it"
        connection.rollback()
        assert Kept.of(database) is not None
        connection.execute("PRAGMA journal_mode = WAL")
        assert Kept.of(database) is None, "its log is written first"


def test_a_damaged_database_is_an_error_whatever_was_kept(home: World) -> None:
    versions_of(home)
    (home.settings.home / "mlflow.db").write_bytes(b"no database at all, but as long as one" * 100)
    with pytest.raises(UnavailableError, match=r"the model registry at .* fails"):
        versions_of(home)


@pytest.mark.long
def test_programs_that_ask_at_once_keep_a_whole_file(home: World) -> None:
    kept = home.settings.home / KEPT
    kept.unlink(missing_ok=True)
    words = [sys.executable, "-c", PROGRAM]
    programs = [subprocess.Popen(words, env=home.environment, cwd=home.folder) for _ in range(3)]
    assert [one.wait(120) for one in programs] == [0, 0, 0]
    assert home.run(*words).stdout.split() == sorted(versions_of(home))
