"""No log holds what an exception says: it may be a user's id, an event or a password. Where it came from is logged."""

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from features.settings import Settings
from serving.activation.delivery import Sender
from serving.ingest.worker import Worker
from serving.model.registry.promoted import Promoted
from serving.process.logs import formatter
from serving.process.opening import Opening
from serving.process.problems import problem_of
from serving.scoring.served import Served
from tests.serving.ingest.scenes import Scene

WORDS = "u0000003 cannot be folded with password hunter2"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the service would write."""
    stream, logger = io.StringIO(), logging.getLogger("propensity")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter())
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


def failing(then: Callable[[], None]) -> Callable[..., int]:
    """A step that fails unexpectedly, after which the loop is to end."""

    def step(*_: object) -> int:
        then()
        try:
            raise KeyError(WORDS)
        except KeyError as error:
            raise RuntimeError(WORDS) from error

    return step


def holds_no_words(written: io.StringIO, says: str) -> None:
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert says in [line["message"] for line in lines][-1]
    assert "u0000003" not in written.getvalue()
    assert "hunter2" not in written.getvalue()


def test_a_traceback_tells_types_and_places_of_all_causes(written: io.StringIO) -> None:
    try:
        failing(lambda: None)()
    except RuntimeError:
        logging.getLogger("propensity").exception("it failed")
    holds_no_words(written, "it failed")
    reported = json.loads(written.getvalue())["exc_info"]
    assert reported.index("KeyError") < reported.index("RuntimeError")
    assert "test_logs.py" in reported
    assert "in step" in reported


def test_the_worker(written: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene.set(tmp_path)
    worker = scene.worker()
    monkeypatch.setattr(Worker, "step", failing(worker.stop))
    worker.run()
    scene.live.close()
    holds_no_words(written, "the worker starts again")


def test_the_sender(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Sender.__new__(Sender)
    sender._stopped = threading.Event()
    monkeypatch.setattr(Sender, "step", failing(sender._stopped.set))
    sender.run("hook")
    holds_no_words(written, "the hand-off to hook starts again")


def test_who_looks_for_champions(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()
    monkeypatch.setattr("serving.scoring.served.POLL_SECONDS", 0)
    monkeypatch.setattr(Served, "refresh", failing(stopped.set))
    Served.__new__(Served).watch(stopped)
    holds_no_words(written, "cannot ask the registry for champions")


def test_who_opens_what_is_needed(written: io.StringIO) -> None:
    opening: Opening[int] = Opening(failing(lambda: None), "the service")
    opening.start(10)
    opening.close(lambda _: None)
    holds_no_words(written, "the service cannot be opened (RuntimeError)")


def test_a_request(written: io.StringIO) -> None:
    with pytest.raises(RuntimeError) as raised:
        failing(lambda: None)()
    assert WORDS not in json.dumps(problem_of(raised.value))
    holds_no_words(written, "a request failed: RuntimeError")


def test_a_refused_champion(written: io.StringIO, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scene = Scene.set(tmp_path)
    scene.live.close()
    served = Served(scene.definition, Settings(home=tmp_path / "var"))
    monkeypatch.setattr("serving.model.registry.loader.Loader.promoted", lambda _: {"churn": Promoted("1", None)})
    monkeypatch.setattr("serving.model.registry.loader.Loader.load", failing(lambda: None))
    assert served.refresh()
    assert served.refused == {"churn": "churn/1 cannot be loaded (RuntimeError)."}
    holds_no_words(written, "champion churn/1 cannot be served, no model is served instead")
