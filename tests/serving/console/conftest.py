"""A served world for the console: scored twice, monitored, with a destination, an experiment and a key a role."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from serving.database.log.live_log import LiveLog
from serving.desk.keys import Keys
from serving.model.registry.loader import Loader
from tests.conftest import World
from tests.serving.activation.receivers import Receiver
from tests.serving.conftest import unscored_copy_of
from tests.serving.console.mounted import Mounted
from tests.serving.console.provider import Provider
from tests.serving.servers import Server
from training.registry import Registry

#: what a name, a trait or an event of a user must not do to a page
SCRIPT = "<script>alert(1)</script>"
SCRIPTED = f'x"><img src=x onerror=alert(2)>{SCRIPT}'

ROLES = ("read", "viewer", "editor", "publisher", "privacy", "admin", "write")

#: the roles of groups at a provider of OpenID Connect
GROUPS = {"marketing": "editor", "data": "privacy"}


class _Fields(HTMLParser):
    """The hidden fields of the first form of a page, and all texts."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "input" and found.get("type") == "hidden":
            self.hidden.setdefault(found["name"] or "", found["value"] or "")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


@dataclass
class Visitor:
    """Somebody with a browser that runs no scripts.

    Attributes:
        client: keeps the cookies.
        page: the page that was loaded last.
    """

    client: httpx.Client
    page: httpx.Response = field(init=False)

    def get(self, path: str, **headers: str) -> httpx.Response:
        self.page = self.client.get(f"/console{path}", headers=headers)
        return self.page

    def post(self, path: str, *, csrf: str | None = None, **fields: str) -> httpx.Response:
        """Send a form; with what the page that was loaded last says must be sent back."""
        given = {"csrf": self.csrf if csrf is None else csrf, **fields}
        self.page = self.client.post(f"/console{path}", data=given)
        return self.page

    @property
    def csrf(self) -> str:
        return self._read().hidden.get("csrf", "")

    @property
    def text(self) -> str:
        """The words of the page that was loaded last."""
        return " ".join(self._read().texts)

    def _read(self) -> _Fields:
        found = _Fields()
        found.feed(self.page.text)
        return found


@dataclass
class Consoled:
    """A served console.

    Attributes:
        world: what is served.
        server: serves it.
        keys: the secret of a key of each role.
        receiver: takes what is handed off.
        opened: clients of the test.
    """

    world: World
    server: Server
    keys: Mapping[str, str]
    receiver: Receiver
    opened: list[httpx.Client] = field(default_factory=list)

    def client(self, *, follow_redirects: bool = False) -> httpx.Client:
        """A client, which is closed with the test."""
        base = self.server.client.base_url
        self.opened.append(httpx.Client(base_url=base, timeout=60, follow_redirects=follow_redirects))
        return self.opened[-1]

    def visitor(self, role: str | None = None) -> Visitor:
        """Somebody who is signed in as a role, or not at all."""
        client = self.client(follow_redirects=True)
        visitor = Visitor(client)
        if role is not None:
            visitor.get("/sign-in")
            assert visitor.post("/sign-in", key=self.keys[role], next="/console/").status_code == 200
        return visitor

    @property
    def log(self) -> LiveLog:
        return LiveLog.open(self.world.definition, self.world.settings)


def _defined(world: World, address: str) -> World:
    """The world with what a team has that hands users on."""
    file = world.folder / "propensity.yaml"
    content = yaml.safe_load(file.read_text())
    content["destinations"] = {"crm": {
        "kind": "webhook", "url": address, "secret": "CRM_SECRET", "of": ["segments", "states"],
        "allow_private": True,
    }}  # fmt: skip
    content["transitions"] = {"holdout": 0.1}
    content["experiments"] = {"winback": {
        "of": "states.at_risk", "destination": "crm", "variants": {"nothing": 0.5, "mail": 0.5},
        "primary": "churn", "better": "less", "starts": "2026-02-01",
    }}  # fmt: skip
    content["include"] = "segments.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return World.at(world.folder)


def challenge(world: World, outcome: str, needed: str) -> str:
    """Register the champion once more as a version that the gate held back, and return its number."""
    registry, loader = Registry(world.definition, world.settings), Loader(world.definition, world.settings)
    champion = loader.load(outcome, loader.versions()[outcome])
    gate = [{"criterion": "average precision", "needed": needed, "found": "-1.2% (-3% to +0.5%)", "passed": False},
            {"criterion": "calibration error", "needed": "at most 0.03", "found": "0.01", "passed": True}]  # fmt: skip
    with registry.run(outcome, 0):
        registry.note({}, {}, {"gate.json": json.dumps(gate)})
        return registry.register(champion)


def _run(world: World, *command: str) -> None:
    done = world.run(sys.executable, "-m", "propensity", *command)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def served_console(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consoled]:
    folder = tmp_path_factory.mktemp("console")
    receiver = Receiver()
    environment = pytest.MonkeyPatch()
    environment.setenv("CRM_SECRET", "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    mine = _defined(unscored_copy_of(world, folder / "world"), receiver.url)
    earlier = "2026-02-15T00:00:00Z"  # its answers have matured
    _run(mine, "score", "--as-of", earlier)
    _run(mine, "score")
    _run(mine, "materialize")
    _run(mine, "monitor")
    _run(mine, "kpis")
    challenge(mine, "churn", f"better than the champion {SCRIPT}")
    log = LiveLog.open(mine.definition, mine.settings)
    keys = {role: Keys(log).create(f"{role}-key", role) for role in ROLES}
    log.close()
    server = Server(mine, folder / "log", PROPENSITY_CLOCK="2026-03-01T12:00:00Z")
    try:
        yield Consoled(mine, server.ready(), keys, receiver)
    finally:
        server.stop()
        receiver.close()
        environment.undo()


@pytest.fixture
def consoled(served_console: Consoled) -> Iterator[Consoled]:
    yield served_console
    for client in served_console.opened:
        client.close()
    served_console.opened.clear()


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


@pytest.fixture
def make(tmp_path: Path, provider: Provider) -> Iterator[Callable[..., Mounted]]:
    opened: list[Mounted] = []

    def mounted(**more: Any) -> Mounted:
        way = {"oidc_issuer": provider.issuer, "oidc_client_id": provider.client, "console_roles": GROUPS,
               "oidc_client_secret": provider.secret}  # fmt: skip
        settings = way | {"console_url": "http://localhost"} | more
        provider.redirect = f"{settings['console_url']}/console/sign-in/oidc/return"
        opened.append(Mounted(tmp_path, **settings))
        return opened[-1]

    yield mounted
    for one in opened:
        one.close()


@pytest.fixture
def console(make: Callable[..., Mounted]) -> Mounted:
    return make()
