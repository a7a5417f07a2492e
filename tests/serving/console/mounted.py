"""The console alone: on a live log in SQLite, without models, so that it starts at once."""

import asyncio
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from starlette.applications import Starlette

from features.definition.file.load import load_definition
from features.definition.schema import Definition
from features.settings import Settings
from features.time import DAY
from serving.audience.population import Population
from serving.console.app import mount
from serving.database.console.actions import Actions
from serving.database.console.chain import Chain
from serving.database.console.tables import make_tables
from serving.database.log.live_log import LiveLog
from serving.database.schema import connect
from tests.conftest import ROOT


class SetClock:
    """A service's clock that a test sets."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


@cache
def _definition() -> Definition:
    return load_definition(ROOT / "propensity.yaml")


class Browser:
    """A browser without scripts that follows no redirects by itself.

    Args:
        app: what it asks.
        base: of addresses.
        address: from which it asks.
    """

    def __init__(self, app: Any, base: str = "http://testserver", address: str = "127.0.0.1") -> None:
        transport = httpx.ASGITransport(app, client=(address, 50_000))
        self._client = httpx.AsyncClient(transport=transport, base_url=base)
        self.cookies = self._client.cookies

    def get(self, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._client.get(path, **more))

    def post(self, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._client.post(path, **more))


class Mounted:
    """A console and its clients.

    Args:
        folder: for the live log.
        settings: of the console.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.log = LiveLog(connect(f"sqlite:///{folder / 'live.db'}"))
        self.settings = Settings(home=folder, **settings)
        self.clock = SetClock(20_000 * DAY)
        live = SimpleNamespace(log=self.log, clock=self.clock, memberships=None)
        make_tables(self.log)
        population, chain = Population(_definition(), self.settings), Chain(self.log)
        monitoring = self.settings.monitoring(_definition().name)
        desk: Any = SimpleNamespace(
            definition=_definition(), live=live, population=population, chain=chain, monitoring=monitoring
        )
        self.app = Starlette()
        mount(self.app, lambda: desk, lambda: self.settings)

    def client(self, base: str = "http://testserver", address: str = "127.0.0.1") -> Browser:
        """A browser without scripts, which asks from an address."""
        return Browser(self.app, base, address)

    def signed_in(self) -> list[tuple[str, str, dict[str, object]]]:
        """Who signed in, of the log of actions, the oldest first."""
        found = reversed(Actions(self.log).page())
        return [(one.who, one.subject, dict(one.detail)) for one in found if one.action == "sign_in"]

    def close(self) -> None:
        self.log.close()
