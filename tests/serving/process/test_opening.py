"""Opening what a process needs: again and again, until it can be."""

import logging
import threading

import pytest

import serving.process.opening
from features.errors import StoreError, UnavailableError
from serving.process.opening import Opening, StartingError


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.process.opening, "PAUSE", 0.01)


@pytest.mark.parametrize(
    "error", [UnavailableError("the store is away."), StoreError("damaged."), OSError("locked"), KeyError("what")]
)
def test_what_is_away_is_waited_for(error: Exception) -> None:
    back = threading.Event()

    def make() -> str:
        if not back.is_set():
            raise error
        return "open"

    opening: Opening[str] = Opening(make, "it")
    opening.start(10)
    with pytest.raises(StartingError):
        opening.get()
    assert opening.alive
    back.set()
    opening._thread.join(10)
    assert opening.get() == "open"
    assert opening.alive


def test_why_is_reported_once_and_without_what_a_driver_says(caplog: pytest.LogCaptureFixture) -> None:
    tried = []
    often = threading.Event()

    def make() -> str:
        tried.append(1)
        if len(tried) > 5:
            often.set()
        raise OSError("postgresql://name:password@host")

    opening: Opening[str] = Opening(make, "it")
    logging.getLogger("propensity").propagate = True
    with caplog.at_level(logging.WARNING, "propensity"):
        opening.start(10)
        assert often.wait(10)
    with pytest.raises(StartingError) as raised:
        opening.get()
    assert "password" not in str(raised.value)
    assert len([r for r in caplog.records if "not ready" in r.message]) == 1
    closed: list[str] = []
    opening.close(closed.append)
    assert not opening.alive
    assert closed == []


def test_what_was_opened_is_closed() -> None:
    opening: Opening[str] = Opening(lambda: "open", "it")
    opening.start(10)
    closed: list[str] = []
    opening.close(closed.append)
    assert closed == ["open"]
