"""Users who acted are looked at for transitions, though a worker is killed between folding and looking."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from features.errors import UnavailableError
from features.time import HOUR, Clock, to_datetime
from serving.database.tables import SHARDS
from serving.ingest import looks
from serving.ingest.looks import Looks
from serving.ingest.worker import Worker
from tests.serving.ingest.scenes import BEGIN, Scene, message


class Watch:
    """Remembers who acted; looks at nobody while it is busy."""

    def __init__(self) -> None:
        self.acted: list[str] = []
        self.busy = False

    def touched(self, users: Iterable[str]) -> None:
        self.acted += users

    def look(self) -> int:
        return len(self.acted) if self.busy else 0


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[Scene, Callable[[], Watch]]]:
    """A scene, and what starts a new worker, as after a kill; it steps until nothing is left to fold."""
    monkeypatch.setattr(looks, "NOTED", 0.0)
    scene = Scene.set(tmp_path)

    def start(*, busy: bool = False) -> Watch:
        watch = Watch()
        watch.busy = busy
        worker = Worker(scene.definition, scene.settings, scene.live, Clock(to_datetime(BEGIN + 40 * 24 * HOUR)), watch)
        while worker.step():
            pass
        worker._leases.give_back()
        return watch

    return scene, start


def test_who_acted_before_a_kill_is_looked_at_after_it(started) -> None:
    scene, start = started
    assert start().acted == []
    scene.live.append([message(i, f"u{i:03d}", "visit", BEGIN + HOUR + i) for i in range(5)])
    assert start(busy=True).acted == [f"u{i:03d}" for i in range(5)]
    scene.live.append([message(9, "u009", "visit", BEGIN + HOUR + 9)])
    assert start(busy=True).acted == [*(f"u{i:03d}" for i in range(5)), "u009"], "folded before, and not looked at"
    assert sorted(start().acted) == [*(f"u{i:03d}" for i in range(5)), "u009"]
    assert start().acted == [], "all were looked at"


def test_what_was_folded_before_anything_was_noted_counts_as_looked_at(started) -> None:
    scene, start = started
    scene.live.append([message(i, f"u{i:03d}", "visit", BEGIN + HOUR + i) for i in range(5)])
    scene.fold()
    assert start().acted == []


def test_who_was_missed_is_found_though_a_store_is_away_at_first(started, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, start = started
    start()
    scene.live.append([message(1, "u001", "visit", BEGIN + HOUR)])
    start(busy=True)
    last, real = scene.live.last(), scene.live.tail
    found, away = Looks(scene.live), iter([True])

    def tail(*asked: object) -> object:
        if next(away, False):
            raise UnavailableError("it does not answer.", fix="start it")
        return real(*asked)

    monkeypatch.setattr(scene.live, "tail", tail)
    folded = dict.fromkeys(range(SHARDS), last)
    with pytest.raises(UnavailableError):
        found.missed(scene.online, folded)
    assert found.missed(scene.online, folded) == ["u001"]
    assert found.missed(scene.online, folded) == []
