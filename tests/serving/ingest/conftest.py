"""Worlds and servers for the tests of the live path."""

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import World
from tests.serving.conftest import copy_of
from tests.serving.ingest.asking import CLOCK, client, command
from tests.serving.servers import Server


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Several older stores at once, on database servers: of all combinations CI runs those on SQLite."""
    for item in items:
        if item.name.startswith("test_every_combination_of_older_stores[postgresql") and "+" in item.name:
            item.add_marker(pytest.mark.nightly)


@pytest.fixture(scope="module")
def live_world(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A copy of the trained world that tests may write live events into."""
    return copy_of(world, tmp_path_factory.mktemp("live") / "world")


@pytest.fixture(scope="session")
def served_world(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A copy of the trained world that one server serves to all tests of the group ``api``."""
    return copy_of(world, tmp_path_factory.mktemp("served") / "world")


@pytest.fixture(scope="session")
def keys(served_world: World) -> dict[str, str]:
    return {
        role: command(served_world, "keys", "create", role, "--role", role).strip()
        for role in ("write", "read", "admin")
    }


@pytest.fixture(scope="session")
def server(served_world: World, keys: dict[str, str]) -> Iterator[Server]:
    assert keys
    running = Server(served_world, served_world.folder / "serve.log", PROPENSITY_CLOCK=CLOCK, PROPENSITY_RATE="3000")
    try:
        yield running.ready()
    finally:
        running.stop()


@pytest.fixture
def ask(server: Server, keys: dict[str, str]) -> Iterator[httpx.Client]:
    with client(server, keys["read"]) as opened:
        yield opened


@pytest.fixture
def send(server: Server, keys: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.client.base_url, auth=(keys["write"], ""), timeout=30) as opened:
        yield opened
