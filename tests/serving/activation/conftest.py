"""Scenes in both databases, and receivers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving.activation.receivers import Receiver
from tests.serving.activation.scenes import SECRET, Scene


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'live.db'}"
    return str(request.getfixturevalue("postgres"))


@pytest.fixture
def set_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Scene]]:
    """Makes scenes, in SQLite when no address is given."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    scenes: list[Scene] = []

    def make(destinations: dict[str, object] | None = None, address: str = "", **changes: object) -> Scene:
        scenes.append(Scene.set(address or f"sqlite:///{tmp_path / 'live.db'}", destinations or {}, **changes))
        return scenes[-1]

    yield make
    for scene in scenes:
        scene.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    opened = Receiver()
    yield opened
    opened.close()
