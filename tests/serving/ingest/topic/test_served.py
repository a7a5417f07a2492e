"""A real server reads a topic: scores show its events, and health, metrics and commands how far it is."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from features.time import Clock, parse_instant
from serving.database.log.live_log import LiveLog
from serving.runtime.worker_process import WorkerProcess
from tests.brokers import Broker
from tests.conftest import ROOT, World
from tests.forks import run_module
from tests.ports import free_port
from tests.serving.conftest import copy_of
from tests.serving.ingest.asking import CLOCK, until
from tests.serving.ingest.topic.scenes import track
from tests.serving.servers import Successor

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("failures")]

TOPIC = "served"


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    running = Broker()
    yield running
    running.thaw()
    running.stop()


def test_a_server_reads_a_topic_and_says_how_far_it_is(world: World, tmp_path: Path, own_broker: Broker) -> None:
    mine = copy_of(world, tmp_path / "world")
    environment = {"PROPENSITY_AUTH": "off", "PROPENSITY_CLOCK": CLOCK, "PROPENSITY_KAFKA": own_broker.address,
                   "PROPENSITY_KAFKA_TOPIC": TOPIC}  # fmt: skip
    own_broker.write(TOPIC, *(track("kafka-user", "app_open") for _ in range(3)), b"no event", None)
    server = Successor(mine, tmp_path / "first.log", **environment)
    try:
        until(lambda: server.status() == 200, 120)
        until(lambda: len(_events(server, "kafka-user")) == 1, 60)
        metrics = httpx.get(f"{server.url}/metrics").text
        for line in ('events_total{result="accepted"} 3.0', 'events_total{result="refused"} 1.0',
                     'events_total{result="empty"} 1.0', 'topic_lag_messages{partition="0"} 0.0'):  # fmt: skip
            until(lambda line=line: f"propensity_{line}" in httpx.get(f"{server.url}/metrics").text)
        assert "propensity_topic_errors_total 0.0" in metrics
        own_broker.freeze()
        until(lambda: f"topic {TOPIC}" in _ready(server)["degraded"], 60)
        assert server.status() == 200, "scores are answered, and events over HTTP taken in"
        assert server.status("/v1/track", {"userId": "http-user", "event": "app_open"}) == 200
        own_broker.thaw()
        until(lambda: _ready(server)["degraded"] == {}, 60)
        own_broker.write(TOPIC, track("late-user", "app_open"), partition=2)
        until(lambda: _events(server, "late-user"), 60)
        server.process.kill()
        server.process.wait(20)
        own_broker.write(TOPIC, track("later-user", "app_open"), partition=3)
    finally:
        server.stop()
    server = Successor(mine, tmp_path / "second.log", **environment)
    try:
        until(lambda: server.status() == 200, 120)
        until(lambda: _events(server, "later-user"), 60)
        assert 'events_total{result="accepted"} 1.0' in httpx.get(f"{server.url}/metrics").text, "and nothing again"
    finally:
        server.stop()
    settings = mine.environment | environment
    shown = run_module("propensity", ["kafka", "status"], settings, ROOT)
    assert shown.returncode == 0, shown.stderr
    assert "Topic served" in shown.stdout
    done = run_module("propensity", ["kafka", "restart", "--at", "latest"], settings, ROOT)
    assert "Partition 0 was read up to offset 5, and is read from 5 on; 0 messages are never read." in done.stdout
    wrong = settings | {"PROPENSITY_KAFKA_OPTIONS": '{"nope": 1}'}
    refused = run_module("propensity", ["serve", "--port", "0"], wrong, ROOT)
    assert refused.returncode == 2
    assert 'No such configuration property: "nope"' in refused.stderr
    nothing = run_module("propensity", ["kafka", "status"], mine.environment, ROOT)
    assert "set PROPENSITY_KAFKA and PROPENSITY_KAFKA_TOPIC" in nothing.stderr


def test_a_worker_in_a_process_of_its_own_reads_a_topic(world: World, tmp_path: Path, own_broker: Broker) -> None:
    mine = copy_of(world, tmp_path / "world")
    settings = mine.settings.model_copy(update={"kafka": own_broker.address, "kafka_topic": TOPIC})
    process, port = WorkerProcess(mine.definition, settings, Clock(parse_instant(CLOCK))), free_port()
    process.serve("127.0.0.1", port)
    working = threading.Thread(target=process.run)
    working.start()
    live = LiveLog.open(mine.definition, settings)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as ask:
            until(lambda: "has no topic" in ask.get("/readyz").json()["degraded"].get(f"topic {TOPIC}", ""), 60)
            before = _folded(ask)  # the process of the tests has folded other events
            own_broker.write(TOPIC, track("kafka-user", "app_open"))
            until(lambda: live.of_users(["kafka-user"]), 60)
            until(lambda: ask.get("/readyz").json()["degraded"] == {}, 60)
            until(lambda: _folded(ask) == before + 1, 60)
    finally:
        process.stop()
        working.join(60)
        live.close()
    assert not working.is_alive()


def _folded(ask: httpx.Client) -> float:
    [line] = [one for one in ask.get("/metrics").text.splitlines() if one.startswith("propensity_events_folded_total ")]
    return float(line.split()[1])


def _ready(server: Successor) -> dict:
    return httpx.get(f"{server.url}/readyz", timeout=30).json()


def _events(server: Successor, user: str) -> list:
    answer = server.ask("/score", {"user_ids": [user]})
    return answer.json()["records"] if answer is not None and answer.status_code == 200 else []
