"""The API without a server: the guard, the calls, and a desk that does what a test says."""

from collections.abc import Callable
from pathlib import Path as FilePath
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from features.time import Clock
from serving.api.middleware import Guard
from serving.api.paths import Path, Paths
from serving.api.routes import app, paths
from serving.process.opening import Opening


def opening_of(make: Callable[[], Any]) -> "Opening[Any]":
    """An opening whose first attempt is over."""
    opening: Opening[Any] = Opening(make, "the service")
    opening.start(10)
    return opening


def desk(**parts: Any) -> SimpleNamespace:
    """A desk where everything is well and nobody is known."""
    memberships = SimpleNamespace(history=lambda **_: [], user=lambda _: None, mixed=lambda _: {})
    live = SimpleNamespace(alive=True, missing=dict, degraded=dict, clock=Clock(), memberships=memberships)
    definition = SimpleNamespace(segments={"carts": None}, experiments={"winback": None}, version="shop@1")
    return SimpleNamespace(
        **(
            {
                "definition": definition,
                "live": live,
                "answers": None,
                "members": None,
                "monitoring": FilePath("/nowhere"),
                "monitor": SimpleNamespace(refresh=lambda: None),
            }
            | parts
        )
    )


def asking(monkeypatch: pytest.MonkeyPatch, opening: "Opening[Any]", **settings: str) -> httpx.AsyncClient:
    """A client of the API as it stands behind the guard."""
    for name, value in ({"PROPENSITY_AUTH": "off"} | settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(app.state, "desk", opening, raising=False)
    probes = [Path.fixed(path, "GET") for path in ("/livez", "/healthz", "/readyz")]
    guard = Guard(app, Paths([*probes, *paths()]))
    transport = httpx.ASGITransport(guard, raise_app_exceptions=True)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://test")
