"""A backup is consistent, is brought back at another path, and says when it is not whole."""

import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from features.errors import UnavailableError
from features.settings import Settings
from features.system.files.lock import locked
from features.time import HOUR
from serving.database.log.live_log import LiveLog
from serving.ingest.reconcile import reconcile
from serving.upkeep import backup as jobs
from serving.upkeep.backup import BackupError, backup, restore
from tests.serving.ingest.scenes import BEGIN, Scene, message


def sent(first: int, count: int) -> list:
    return [message(i, f"u{i % 3:03d}", "visit", BEGIN + HOUR + i) for i in range(first, first + count)]


def test_a_home_comes_back_at_another_path_with_everything(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    scene = Scene.set(tmp_path / "one")
    scene.live.append(sent(0, 10))
    scene.fold()
    scene.compact()
    scene.materialize()
    scene.live.append(sent(20, 5))
    scene.fold()
    before = scene.stored()
    backup(scene.settings.home, tmp_path / "backup")
    scene.live.append(sent(40, 5))  # the live log is open, and goes on
    scene.live.close()
    restore(tmp_path / "backup", tmp_path / "two" / "home")
    shutil.rmtree(scene.settings.home)
    settings = Settings(home=tmp_path / "two" / "home")
    there = Scene(scene.folder, settings, scene.definition, LiveLog.open(scene.definition, settings))
    there.fold()
    assert there.stored() == before
    there.materialize()
    assert reconcile(there.definition, settings, there.live).differences == []
    there.live.append(sent(60, 5))
    there.fold()
    there.compact()
    there.materialize()
    assert reconcile(there.definition, settings, there.live).differences == []
    files = there.settings.live(there.definition.name).glob("events-*.parquet")
    assert sum(len(pl.read_parquet(file)) for file in files) == 20, "each message once"
    there.live.close()


@pytest.mark.parametrize("folder", ["", "audiences", "events", "monitoring", "scores"])
def test_a_job_that_writes_is_waited_for(tmp_path: Path, folder: str) -> None:
    home = tmp_path / "home"
    with locked(home / "shop" / folder), pytest.raises(UnavailableError, match=r"another job is writing"):
        backup(home, tmp_path / "backup")
    backup(home, tmp_path / "backup")


@pytest.mark.parametrize("folder", ["scores/scores-2026-03-01T000000Z.parquet.new", "monitoring/rows.new", "tmpx_1"])
def test_what_is_being_written_is_not_copied_and_may_go_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    home = tmp_path / "home"
    unfinished = home / "shop" / folder
    for place in (unfinished, home / "shop" / "traits"):
        place.mkdir(parents=True)
        (place / "part-0.parquet").write_bytes(b"rows of users")
    real = jobs._copied

    def copied(file: Path, to: Path) -> str:
        shutil.rmtree(unfinished, ignore_errors=True)  # the job ends
        return real(file, to)

    monkeypatch.setattr(jobs, "_copied", copied)
    backup(home, tmp_path / "backup")
    names = [str(path.relative_to(tmp_path / "backup")) for path in (tmp_path / "backup").rglob("*.parquet")]
    assert names == ["shop/traits/part-0.parquet"]


def test_what_is_not_whole_or_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    scene = Scene.set(tmp_path / "one")
    home, kept = scene.settings.home, tmp_path / "backup"
    scene.live.close()
    backup(home, kept)
    with pytest.raises(BackupError, match="is there already"):
        backup(home, kept)
    with pytest.raises(BackupError, match="is there already"):
        restore(kept, home)
    with pytest.raises(BackupError, match="is not a backup"):
        restore(home, tmp_path / "two")
    file = next(path for path in kept.rglob("bucket-*.parquet"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(BackupError, match="is not what was copied"):
        restore(kept, tmp_path / "two")
    assert not (tmp_path / "two").exists()


def test_folders_that_lie_beside_are_left_alone(tmp_path: Path) -> None:
    """People rename a home to home.old before they restore another."""
    (tmp_path / "one").mkdir()
    scene = Scene.set(tmp_path / "one")
    scene.live.close()
    for name in ("backup.old", "backup.new", "home.old", "home.new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("kept")
    backup(scene.settings.home, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "home")
    for name in ("backup.old", "backup.new", "home.old", "home.new"):
        assert (tmp_path / name / "mine").read_text() == "kept", name


def test_copies_are_the_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    scene = Scene.set(tmp_path / "one")
    scene.live.close()
    before = os.umask(0o022)
    try:
        backup(scene.settings.home, tmp_path / "backup")
        restore(tmp_path / "backup", tmp_path / "home")
    finally:
        os.umask(before)
    for folder in (tmp_path / "backup", tmp_path / "home"):
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("what", ["backup", "restore"])
def test_what_appears_in_the_place_meanwhile_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    (tmp_path / "one").mkdir()
    scene = Scene.set(tmp_path / "one")
    scene.live.close()
    backup(scene.settings.home, tmp_path / "first")
    place = tmp_path / "place"
    copied = jobs._copied

    def appearing(*files: Path, plain: bool = False) -> str:
        place.mkdir(exist_ok=True)
        (place / "mine").write_text("kept")
        return copied(*files, plain=plain)

    monkeypatch.setattr(jobs, "_copied", appearing)
    with pytest.raises(BackupError, match="is there already"):
        backup(scene.settings.home, place) if what == "backup" else restore(tmp_path / "first", place)
    assert (place / "mine").read_text() == "kept"
