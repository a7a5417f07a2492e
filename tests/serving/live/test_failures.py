"""What fails in real life, done to real processes under load: nothing acknowledged is lost, and no score is wrong."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from features.packed import StoredProfile
from features.settings import Settings
from features.store import OnlineProfiles
from serving.live.log import LiveLog
from serving.live.reconcile import reconcile
from tests.conftest import ROOT, World
from tests.serving.conftest import copy_of
from tests.serving.servers import Postgres, Redis, Server

CLOCK = "2026-03-01T09:00:00Z"
pytestmark = [pytest.mark.xdist_group("failures"), pytest.mark.long]


@dataclass
class Load:
    """Somebody who sends events and asks for scores all the time, and tries again what was not acknowledged."""

    url: str
    name: str
    sent: set[str] = field(default_factory=set)
    answers: list[tuple[str, int, bool]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=work) for work in (self._send, self._ask)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _send(self) -> None:
        with httpx.Client(base_url=self.url, timeout=10) as client:
            number = 0
            while not self._stop.is_set():
                ids = [f"{self.name}-{number}-{i}" for i in range(5)]
                users = [f"u{(number * 5 + i) % 60:07d}" for i in range(5)]
                batch = [
                    {"type": "track", "messageId": name, "userId": user, "event": "app_open"}
                    for name, user in zip(ids, users, strict=True)
                ]
                if self._call("events", lambda batch=batch: client.post("/v1/batch", json={"batch": batch})):
                    self.sent.update(ids)
                    number += 1
                time.sleep(0.01)

    def _ask(self) -> None:
        with httpx.Client(base_url=self.url, timeout=10) as client:
            users = [f"u{i:07d}" for i in range(5)]
            while not self._stop.is_set():
                answer = self._call("scores", lambda: client.post("/score", json={"user_ids": users}))
                if answer is not None and answer.json()["missing"]:
                    self.wrong.append(answer.text)
                time.sleep(0.01)

    def _call(self, what: str, call: Callable[[], httpx.Response]) -> httpx.Response | None:
        try:
            answer = call()
        except httpx.TransportError:
            self.answers.append((what, 0, True))
            time.sleep(0.1)
            return None
        self.answers.append((what, answer.status_code, "retry-after" in answer.headers))
        if answer.status_code != 200:
            time.sleep(0.1)
            return None
        return answer

    def statuses(self, what: str) -> set[int]:
        return {status for kind, status, _ in self.answers if kind == what}


@dataclass
class Box:
    """One box with Redis and PostgreSQL."""

    world: World
    redis: Redis
    postgres: Postgres
    server: Server | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PROPENSITY_ONLINE_STORE": "redis", "PROPENSITY_REDIS": self.redis.address,
            "PROPENSITY_LIVE_LOG": self.postgres.url, "PROPENSITY_AUTH": "off", "PROPENSITY_CLOCK": CLOCK,
        }  # fmt: skip

    @property
    def settings(self) -> Settings:
        settings = Settings(home=self.world.folder / "var", online_store="redis", redis=self.redis.address)
        return settings.model_copy(update={"live_log": type(settings.live_log)(self.postgres.url)})

    def serve(self, **more: str) -> Server:
        self.server = Server(self.world, self.world.folder / "serve.log", **(self.environment | more)).ready()
        return self.server

    @property
    def url(self) -> str:
        assert self.server is not None
        return str(self.server.client.base_url)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = self.world.environment | self.environment
        done = subprocess.run([sys.executable, "-m", "propensity", *words], env=environment, cwd=ROOT,
                              capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def nothing_is_lost(self, load: Load) -> None:
        """Every acknowledged message is there once, is folded, and every profile is what the log makes of it."""
        live = LiveLog.open(self.world.definition, self.settings)
        try:
            ids = [m.id for m in live.between(0, live.last(), 10**6) if m.id.startswith(load.name + "-")]
            assert len(ids) == len(set(ids))
            assert load.sent <= set(ids)
            for _ in range(200):
                [value] = OnlineProfiles(self.world.definition, self.settings).read_values(["u0000003"])
                mine = live.of_users(["u0000003"])
                if value is not None and StoredProfile.from_bytes(value).position >= mine[-1].position:
                    break
                time.sleep(0.1)
            time.sleep(0.5)
            assert reconcile(self.world.definition, self.settings, live).differences == []
        finally:
            live.close()
        assert load.wrong == []


@pytest.fixture(scope="module")
def box(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("box")
    box = Box(copy_of(world, folder / "world"), Redis(folder), Postgres(folder))
    try:
        box.run("materialize")
        box.serve()
        yield box
    finally:
        if box.server is not None:
            box.server.stop()
        box.redis.stop()
        box.postgres.stop()


def ready(box: Box) -> httpx.Response:
    return httpx.get(f"{box.url}/readyz", timeout=10)


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.1)


def test_redis_stopped_and_started_under_load(box: Box) -> None:
    with Load(box.url, "redis") as load:
        time.sleep(1)
        box.redis.stop()
        time.sleep(1)
        told = ready(box)
        assert told.status_code == 503
        assert "online_store" in told.text
        time.sleep(1)
        box.redis.start()
        until(lambda: ready(box).status_code == 200)
        time.sleep(1)
    assert load.statuses("scores") == {200, 503}, "never a wrong score, and never another error"
    assert all(retry for _, status, retry in load.answers if status == 503)
    assert load.statuses("events") == {200}, "events are taken while nobody can be scored"
    box.nothing_is_lost(load)


def test_a_store_that_lost_everything_says_so_until_it_is_filled(box: Box) -> None:
    import redis

    host, port = box.redis.address.split(":")
    with redis.Redis(host, int(port)) as client:
        client.flushall()
    answer = httpx.post(f"{box.url}/score", json={"user_ids": ["u0000001"]})
    assert answer.status_code == 503
    assert "run propensity materialize" in answer.text
    assert "retry-after" in answer.headers
    assert "it holds no profiles" in ready(box).text
    box.run("materialize")
    until(lambda: ready(box).status_code == 200)
    with Load(box.url, "filled") as load:
        time.sleep(1)
    assert load.statuses("scores") == {200}
    box.nothing_is_lost(load)


def test_postgresql_restarted_under_load(box: Box) -> None:
    with Load(box.url, "postgres") as load:
        time.sleep(1)
        box.postgres.stop()
        time.sleep(1)
        assert "live_log" in ready(box).text
        box.postgres.start()
        until(lambda: ready(box).status_code == 200)
        time.sleep(1)
    assert load.statuses("scores") == {200}
    assert load.statuses("events") == {200, 503}
    assert all(retry for _, status, retry in load.answers if status == 503)
    box.nothing_is_lost(load)


def test_a_server_killed_between_write_and_answer(box: Box) -> None:
    assert box.server is not None
    with Load(box.url, "killed") as load:
        time.sleep(1)
        box.server.kill()
        port = box.server.port
        time.sleep(0.5)
    box.serve()
    assert box.server.port != port
    with Load(box.url, "killed") as again:  # the same client, which does not know what arrived
        time.sleep(2)
    again.sent |= load.sent
    assert 0 in load.statuses("events")
    box.nothing_is_lost(again)


def test_workers_of_their_own_one_of_them_killed(box: Box, tmp_path: Path) -> None:
    assert box.server is not None
    box.server.stop()
    environment = box.world.environment | box.environment
    workers = []
    for i in range(2):
        with (tmp_path / f"worker-{i}.log").open("wb") as out:
            command = [sys.executable, "-m", "propensity", "worker"]
            workers.append(subprocess.Popen(command, env=environment, cwd=ROOT, stdout=out, stderr=out))
    try:
        box.serve(PROPENSITY_WORKER="off")  # it is ready once a worker lives
        with Load(box.url, "workers") as load:
            time.sleep(8)
            workers[0].kill()
            workers[0].wait(10)
            time.sleep(8)
        box.nothing_is_lost(load)
    finally:
        for worker in workers:
            worker.terminate()
        assert workers[1].wait(20) == 0, "asked to stop, it finishes what it has begun"


def test_a_full_disk_under_the_live_log(world: World, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    mine = copy_of(world, tmp_path / "world")
    server = Server(mine, tmp_path / "log", PROPENSITY_LIVE_LOG=f"sqlite:///{disk / 'live.db'}", PROPENSITY_AUTH="off",
                    PROPENSITY_CLOCK=CLOCK)  # fmt: skip
    try:
        server.ready()

        def send(number: int) -> httpx.Response:
            event = {
                "userId": "u0000001",
                "event": "app_open",
                "messageId": f"full-{number}",
                "properties": {"x": "y" * 20_000},
            }
            return server.client.post("/v1/track", json=event)

        answers = [send(i) for i in range(60)]
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 503}
        assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
        assert "full" in next(answer.text for answer in answers if answer.status_code == 503)
        assert server.client.post("/score", json={"user_ids": ["u0000001"]}).status_code == 200
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        again = [send(i) for i in range(60)]
        assert {answer.status_code for answer in again} == {200}
        counted = [a.json()["accepted"] for a in again]
        assert [bool(n) for n in counted] == [status == 503 for status in statuses], "each counts once"
    finally:
        server.stop()
        subprocess.run(["umount", "-l", str(disk)], check=True)
