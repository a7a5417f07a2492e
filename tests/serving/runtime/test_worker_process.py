"""A worker in a process of its own: it says how it is, waits for what is away, and the API knows whether one lives."""

import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

import serving.process.opening
from features.settings import Settings
from features.time import Clock
from serving.runtime.worker_process import WorkerProcess
from tests.conftest import ROOT, World
from tests.ports import free_port
from tests.serving.conftest import copy_of
from tests.serving.ingest.asking import CLOCK, until
from tests.serving.servers import Successor


def test_a_worker_waits_for_what_is_away_and_says_so(
    untrained_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving.process.opening, "PAUSE", 0.05)
    damaged = tmp_path / "live.db"
    damaged.write_bytes(b"this is no database" * 100)
    settings = Settings(home=tmp_path / "var", live_log=f"sqlite:///{damaged}", definition=tmp_path)
    process, port = WorkerProcess(untrained_world.definition, settings, Clock()), free_port()
    process.serve("127.0.0.1", port)
    working = threading.Thread(target=process.run)
    working.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as ask:
            assert ask.get("/livez").status_code == 200
            until(lambda: "being opened" not in ask.get("/readyz").text)
            reported = ask.get("/readyz")
            assert reported.status_code == 503
            assert reported.headers["retry-after"]
            assert reported.json().keys() >= {"error", "code", "fix", "missing"}
            assert "worker" in reported.json()["missing"]
            assert "propensity_" in ask.get("/metrics").text
            assert ask.get("/nothing").status_code == 404
            assert set(ask.get("/nothing").json()) == {"error", "code", "fix"}
            damaged.unlink()
            until(lambda: "online_store" in ask.get("/readyz").json()["missing"], 30)
            assert "worker" not in ask.get("/readyz").json()["missing"]
    finally:
        process.stop()
        working.join(30)
    assert not working.is_alive()


@pytest.mark.long
@pytest.mark.xdist_group("failures")
def test_the_api_says_when_no_worker_lives_and_each_process_tells_its_own(world: World, tmp_path: Path) -> None:
    mine = copy_of(world, tmp_path / "world")
    done = mine.run(sys.executable, "-m", "propensity", "materialize")
    assert done.returncode == 0, done.stderr
    environment = {"PROPENSITY_AUTH": "off", "PROPENSITY_CLOCK": CLOCK, "PROPENSITY_WORKER": "off"}
    server = Successor(mine, tmp_path / "log", **environment)
    port = free_port()
    worker: subprocess.Popen[bytes] | None = None
    try:
        until(lambda: _status(f"{server.url}/livez") == 200, 120)
        until(lambda: "worker" in httpx.get(f"{server.url}/readyz").json()["missing"], 60)
        assert "none lives" in httpx.get(f"{server.url}/readyz").json()["missing"]["worker"]
        assert server.status("/v1/track", {"userId": "u1", "event": "app_open"}) == 200
        assert "propensity_lag_seconds" not in httpx.get(f"{server.url}/metrics").text, "it does not know"
        with (tmp_path / "worker.log").open("wb") as out:
            command = [sys.executable, "-m", "propensity", "worker", "--port", str(port)]
            worker = subprocess.Popen(command, env=mine.environment | environment, cwd=ROOT, stdout=out, stderr=out)
        until(lambda: _status(f"http://127.0.0.1:{port}/readyz") == 200, 120)
        until(lambda: _status(f"{server.url}/readyz") == 200, 60)
        reported = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        assert "propensity_lag_seconds" in reported
        until(lambda: "propensity_events_folded_total 1.0" in httpx.get(f"http://127.0.0.1:{port}/metrics").text, 60)
        worker.kill()
        worker.wait(10)
        until(lambda: _status(f"{server.url}/readyz") == 503, 60)
        assert "none lives" in httpx.get(f"{server.url}/readyz").text
    finally:
        server.stop()
        if worker is not None:
            worker.kill()
            worker.wait(10)


def _status(url: str) -> int:
    try:
        return httpx.get(url, timeout=10).status_code
    except httpx.TransportError:
        return 0
