"""Asking a running server, and waiting for what is to come."""

import sys
import time
from collections.abc import Callable

import httpx

from tests.conftest import World
from tests.serving.servers import Server

#: the server's clock begins here: the demo's log ends nine hours earlier
CLOCK = "2026-03-01T09:00:00Z"


def command(world: World, *words: str) -> str:
    done = world.run(sys.executable, "-m", "propensity", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def client(server: Server, key: str) -> httpx.Client:
    return httpx.Client(base_url=server.client.base_url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


def until(holds: Callable[[], object], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.05)


def record(ask: httpx.Client, user: str, **body: object) -> dict:
    answer = ask.post("/score", json={"user_ids": [user], **body})
    assert answer.status_code == 200, answer.text
    return (answer.json()["records"] or [{"segments": [], "missing": True}])[0]
