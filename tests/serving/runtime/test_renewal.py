"""Segments that are published while a process runs are used without a restart; all else waits for one."""

import logging
import os
import threading
from pathlib import Path

import pytest
import yaml

from features.definition.file.load import load_definition
from features.definition.schema import Definition
from features.errors import UnavailableError
from serving.process.opening import Opening
from serving.runtime import renewal
from serving.runtime.renewal import Renewal
from tests.serving.ingest.asking import until
from tests.worlds import definition_of

Change = dict[str, object]


class Thing:
    """Something that is made of a definition, and what was done to it."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.done: list[str] = []

    def retire(self) -> None:
        self.done.append("retired")

    def close(self) -> None:
        self.done.append("closed")


class Home:
    """A definition that includes a file, and something that is open."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file, self.included, self._written = folder / "propensity.yaml", folder / "segments.yaml", 0
        self.define()
        self.made: list[Thing] = []
        self.away = False
        self.opening: Opening[Thing] = Opening(lambda: self.make(load_definition(self.file)), "it")
        self.opening.start(10)
        self.renewal = Renewal(self.opening, self.make)
        monkeypatch.setattr(renewal, "AGAIN", 0.0)
        assert not self.renewal.look()

    def make(self, definition: Definition) -> Thing:
        if self.away:
            raise UnavailableError("the registry does not answer.", fix="start it")
        self.made.append(Thing(definition))
        return self.made[-1]

    def define(self, **changes: object) -> None:
        content = definition_of(segments={"by_hand": "tenure_days > 3"}, **changes).as_file()
        self.write(self.file, yaml.safe_dump(content | {"include": self.included.name}, sort_keys=False))

    def write(self, file: Path, text: str) -> None:
        file.write_text(text)
        self._written += 1  # two writings in one tick of the file system's clock are two
        os.utime(file, ns=(self._written * 10**9, self._written * 10**9))

    def publish(self, name: str, when: str = "tenure_days > 7") -> None:
        self.write(self.included, f"segments: {{{name}: {{when: {when}}}}}")

    @property
    def segments(self) -> set[str]:
        return set(self.opening.get().definition.segments)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(tmp_path, monkeypatch)


def test_a_published_segment_is_used_and_the_old_one_is_retired_at_once(home: Home) -> None:
    home.publish("buyers")
    assert home.renewal.look()
    assert home.segments == {"by_hand", "buyers"}
    assert home.made[0].done == ["retired"], "requests that began with it may still need what it has open"
    assert not home.renewal.look()
    home.included.unlink()
    assert home.renewal.look()
    assert home.segments == {"by_hand"}


def test_what_was_published_before_the_first_look_is_found(home: Home) -> None:
    home.publish("buyers")
    assert Renewal(home.opening, home.make).look()
    assert "buyers" in home.segments


@pytest.mark.parametrize(
    "change",
    [
        {"windows": ["7d", "60d"]},
        {"name": "other"},
        {"states": {"known": "tenure_days > 9", "active": "otherwise"}},
        {"transitions": {"holdout": 0.2}},
    ],
)
def test_anything_else_waits_for_a_restart(home: Home, change: Change, caplog: pytest.LogCaptureFixture) -> None:
    home.define(**change)
    home.publish("buyers")
    with caplog.at_level(logging.WARNING, "propensity"):
        assert not home.renewal.look()
    assert "restart to use it" in caplog.text
    assert home.segments == {"by_hand"}
    assert home.made[0].done == []


@pytest.mark.parametrize("broken", ["segments: {buyers: {when: nothing_like_it > 3}}", "segments: [", "other: {}"])
def test_what_cannot_be_used_changes_nothing_and_is_named_once(
    home: Home, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    home.write(home.included, broken)
    with caplog.at_level(logging.WARNING, "propensity"):
        assert not any([home.renewal.look(), home.renewal.look()])
    assert caplog.text.count("cannot be used") == 1
    assert home.made[0].done == []
    home.publish("buyers")
    assert home.renewal.look()


def test_what_cannot_be_opened_is_tried_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "POLL", 0.01)
    home.away = True
    home.publish("buyers")
    stopped = threading.Event()
    watching = threading.Thread(target=home.renewal.watch, args=(stopped,))
    watching.start()
    try:
        threading.Event().wait(0.1)
        assert home.segments == {"by_hand"}
        home.away = False
        until(lambda: "buyers" in home.segments, 10)
    finally:
        stopped.set()
        watching.join(10)
    assert home.made[0].done == ["retired", "closed"]
    assert home.made[1].done == [], "who opened it closes it"


def test_an_old_one_is_closed_once_no_request_can_need_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.publish("buyers")
    home.renewal.look()
    monkeypatch.setattr(renewal, "LAST_REQUESTS", 0.0)
    home.renewal.look()
    home.renewal.look()
    assert home.made[0].done == ["retired", "closed"]
