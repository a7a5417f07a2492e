"""A service without authentication says so, and an empty token is none."""

import sys
from pathlib import Path

import pytest

from features.errors import PropensityError
from features.settings import Settings
from serving.api.middleware import required_keys
from tests.conftest import World
from tests.ports import free_port
from tests.serving.servers import Server

AS_OF = "2026-03-01T10:15:00Z"
USER = "u0000001"


@pytest.mark.long
def test_authentication_is_off_only_when_said_and_then_it_is_logged(world: World, tmp_path: Path) -> None:
    refused = world.run(sys.executable, "-m", "propensity", "serve", "--port", str(free_port()))
    assert refused.returncode == 2
    assert "set PROPENSITY_TOKEN, or PROPENSITY_AUTH=off for local use" in refused.stderr
    open_server = Server(world, tmp_path / "log", PROPENSITY_AUTH="off")
    try:
        open_server.ready()
        assert open_server.client.post("/score", json={"user_ids": [USER], "as_of": AS_OF}).status_code == 200
        assert "PROPENSITY_AUTH=off" in open_server.log.read_text()
    finally:
        open_server.stop()


def test_an_empty_token_is_no_token(tmp_path: Path) -> None:
    with pytest.raises(PropensityError, match="there is no key or token"):
        required_keys(Settings(token="", home=tmp_path))
