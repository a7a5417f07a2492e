"""A served world for the tests of the API, and a client with its token."""

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import World
from tests.serving.servers import Server


@pytest.fixture(scope="package")
def server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(world, tmp_path_factory.mktemp("serve") / "log", PROPENSITY_TOKEN="secret-token")
    try:
        yield running.ready()
    finally:
        running.stop()


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=server.client.base_url, headers={"Authorization": "Bearer secret-token"}, timeout=60
    ) as client:
        yield client
