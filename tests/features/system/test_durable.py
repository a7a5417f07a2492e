"""What takes a place is on the disk before it is renamed, and its name afterwards."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from features.events.write import write_frames
from features.system.files import durable
from features.system.files.durable import new_folder, replace_folder, write_durably
from features.system.files.exchange import exchange
from features.system.progress import ignore
from features.time import HOUR
from serving.upkeep.backup import backup, restore
from tests.oracle import Event
from tests.serving.ingest.scenes import BEGIN, Scene, message
from tests.worlds import definition_of, events_of


class Disk:
    """Records what is flushed and renamed, and when."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.flushed: dict[str, int] = {}
        self.renamed: list[tuple[str, str, int]] = []
        self.unflushed: list[str] = []
        self._now = 0
        real_sync, real_rename, real_replace = os.fsync, os.rename, os.replace
        real_exchange = durable.exchange
        monkeypatch.setattr(durable, "exchange", lambda a, b: (self._rename(a, b), real_exchange(a, b))[1])
        monkeypatch.setattr(os, "fsync", lambda handle: (self._flush(handle), real_sync(handle)))
        monkeypatch.setattr(os, "rename", lambda a, b: (self._rename(a, b), real_rename(a, b)))
        monkeypatch.setattr(os, "replace", lambda a, b: (self._rename(a, b), real_replace(a, b)))

    def _flush(self, handle: int) -> None:
        self._now += 1
        self.flushed[os.readlink(f"/proc/self/fd/{handle}")] = self._now

    def _rename(self, source: str | Path, target: str | Path) -> None:
        self._now += 1
        source, target = Path(source), Path(target)
        if target.name.endswith(".old"):  # goes away
            return
        parts = [source, *source.rglob("*")]
        self.unflushed += [str(part) for part in parts if str(part) not in self.flushed]
        self.renamed.append((str(source), str(target), self._now))

    def check(self, *places: Path) -> None:
        """These places were taken; all that was renamed was flushed before, and the folder that names it after."""
        assert self.unflushed == []
        assert {str(place) for place in places} <= {target for _, target, _ in self.renamed}
        for _, target, when in self.renamed:
            assert self.flushed.get(str(Path(target).parent), 0) > when, target


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    if not Path("/proc/self/fd").exists():
        pytest.skip("which file is flushed is read from /proc, and there is none here")
    return Disk(monkeypatch)


def one_frame(folder: Path) -> None:
    events = events_of(definition_of(), [Event("u1", BEGIN, ("visit",))])
    frame = pl.DataFrame({"day": ["a", "b"], "x": [1, 2]})
    write_frames(lambda work: iter([work(events)]), lambda _: iter([frame]), folder, by="day", progress=ignore)


def a_folder(folder: Path) -> None:
    fresh = folder.with_name("fresh")
    (fresh / "in" / "side").mkdir(parents=True)
    (fresh / "in" / "side" / "file").write_text("x")
    replace_folder(fresh, folder)


@pytest.mark.parametrize("there", [False, True], ids=["new", "in the place of another"])
@pytest.mark.parametrize("write", [one_frame, a_folder, lambda place: write_durably(place, b"x")])
def test_what_takes_a_place_is_flushed(disk: Disk, tmp_path: Path, write: Callable[[Path], None], there: bool) -> None:
    if there:
        write(tmp_path / "place")
        disk.flushed.clear()
    write(tmp_path / "place")
    disk.check(tmp_path / "place")


@pytest.mark.parametrize("can", [True, False], ids=["in one step", "where the file system cannot"])
def test_a_folder_in_the_place_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool) -> None:
    if not can:
        monkeypatch.setattr(durable, "exchange", lambda *_: False)
    for content in "ab":
        (tmp_path / "fresh").mkdir()
        (tmp_path / "fresh" / content).write_text(content)
        replace_folder(tmp_path / "fresh", tmp_path / "place")
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["b"]


def test_a_reader_finds_a_folder_at_every_moment(tmp_path: Path) -> None:
    (tmp_path / "probe").mkdir()
    (tmp_path / "other").mkdir()
    if not exchange(tmp_path / "probe", tmp_path / "other"):
        pytest.skip("this file system cannot let two folders change places")
    a_folder(tmp_path / "place")
    misses, done = list[bool](), threading.Event()

    def look() -> None:
        while not done.is_set():
            if not (tmp_path / "place").exists():
                misses.append(True)

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(200):
        a_folder(tmp_path / "place")
    done.set()
    reader.join()
    assert misses == []


def test_folders_that_cannot_change_places_say_why(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        exchange(tmp_path / "nowhere", tmp_path / "here")
    assert (tmp_path / "here").exists()


def test_new_folders_are_named_for_good(disk: Disk, tmp_path: Path) -> None:
    new_folder(tmp_path / "a" / "b" / "c")
    new_folder(tmp_path / "a" / "b" / "c")
    assert set(disk.flushed) == {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")}


def test_a_backup_and_its_return_are_flushed(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    scene = Scene.set(tmp_path / "one")
    scene.live.append([message(i, f"u{i:03d}", "visit", BEGIN + HOUR + i) for i in range(5)])
    scene.compact()
    scene.live.close()
    disk.renamed.clear()
    disk.unflushed.clear()
    backup(scene.settings.home, tmp_path / "kept" / "today")
    restore(tmp_path / "kept" / "today", tmp_path / "two" / "home")
    disk.check(tmp_path / "kept" / "today", tmp_path / "two" / "home")
    assert str(tmp_path) in disk.flushed, "it names the folders that were made above the backup"


def test_the_nightly_job_leaves_nothing_unflushed_that_cannot_be_made_again(disk: Disk, tmp_path: Path) -> None:
    scene = Scene.set(tmp_path)
    scene.live.append([message(i, f"u{i:03d}", "visit", BEGIN + HOUR + i) for i in range(5)])
    disk.unflushed.clear()
    scene.compact()
    live = scene.settings.live(scene.definition.name)
    again = ("profiles", "traits.parquet")  # made of the log at any time
    assert [name for name in disk.unflushed if not any(part in name for part in again)] == []
    assert any(target == str(live / "manifest.json") for _, target, _ in disk.renamed)
    assert disk.flushed[str(live.parent)], "the new folder's own name"
    scene.live.close()
