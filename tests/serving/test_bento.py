"""A Bento of the service is built, runs, and runs what compose.yaml starts, in the folders of its image."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from propensity.app import app
from tests.conftest import ROOT, World
from tests.ports import free_port
from tests.serving.conftest import copy_of
from tests.serving.image import BENTO, Image, services
from tests.serving.servers import Server, kill_with_children

pytestmark = pytest.mark.xdist_group("failures")

OF_THE_PAGE = ("page.html.j2", "examples.yaml", "static/style.css", "static/try.js", "static/icon.svg")
OURS = ("api", "worker", "nightly", "train", "cli")


def test_compose_says_what_each_service_needs() -> None:
    found = services({"POSTGRES_PASSWORD": "x"})
    assert set(found) == {*OURS, "redis", "postgres"}
    for name, service in found.items():
        job = "jobs" in service.profiles
        assert service.restart == ("no" if job else "unless-stopped"), f"{name} is there after the machine restarts"
        assert job or service.healthcheck is not None, f"{name} says how it is"
    for name in OURS:
        service = found[name]
        assert service.working_dir == f"{BENTO}/src", "the code is not installed"
        assert service.user == "1034", "the image's user, unless set otherwise"
        assert service.environment["HOME"] == "/tmp", "any user can write caches there"  # noqa: S108
        assert service.volumes == ["../..:/data"]
        assert set(service.depends_on) == {"redis", "postgres"}
    for name in ("api", "worker"):
        assert found[name].healthcheck.start_period == "120s"  # type: ignore[union-attr]
    assert found["worker"].env_file, "the secrets of destinations"
    for name in ("nightly", "train"):
        assert found[name].command[:5] == ["env", "-u", "POLARS_MAX_THREADS", "-u", "OMP_NUM_THREADS"]


def test_commands_of_compose_are_commands_of_ours() -> None:
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    reported = " ".join(" ".join(services({"POSTGRES_PASSWORD": "x"})[name].command) for name in OURS)
    called = [words.split()[0] for words in reported.split("python -m propensity ")[1:]]
    assert set(called) == {"serve", "worker", "compact", "score", "monitor", "kpis", "train"}
    assert set(called) <= known


def test_what_notices_and_postgresql_need_is_in_the_image() -> None:
    locked = (ROOT / "requirements-service.txt").read_text()
    assert "\napprise==" in locked
    assert "\npsycopg==" in locked


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The BentoML home that holds a Bento of what is here."""
    home = tmp_path_factory.mktemp("bento") / "bentoml"
    environment = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "1"}
    done = subprocess.run([sys.executable, "-m", "bentoml", "build"], cwd=ROOT, env=environment, capture_output=True,
                          text=True, timeout=300, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return home


@pytest.mark.long
def test_a_bento_is_built_and_runs(world: World, built: Path, tmp_path: Path) -> None:
    [bento] = (built / "bentos" / "propensity").glob("*/bento.yaml")
    packed = {
        str(path.relative_to(bento.parent / "src")) for path in (bento.parent / "src").rglob("*") if path.is_file()
    }
    assert {"serving/api/service.py", "features/repo/feature_store.yaml", "training/report/report.html.j2"} <= packed
    assert {f"serving/api/documentation/{name}" for name in OF_THE_PAGE} <= packed
    assert not [name for name in packed if name.startswith(("tests", "var", "data", ".venv"))]
    running = Server(world, tmp_path / "log", "propensity:latest", PROPENSITY_AUTH="off", BENTOML_HOME=str(built))
    try:
        running.ready()
        answer = running.client.post("/score", json={"user_ids": ["u0000001"], "as_of": "2026-03-01T10:15:00Z"})
        assert answer.json()["records"][0]["user_id"] == "u0000001"
    finally:
        running.stop()


class Box:
    """What compose.yaml starts, on a world, with a real Redis and PostgreSQL."""

    def __init__(self, image: Image, world: World, redis: str, postgres: str, folder: Path) -> None:
        self._image, self._folder = image, folder
        self.ports = {"3000": free_port(), "3001": free_port()}
        self._services = services({"POSTGRES_PASSWORD": "x", "PROPENSITY_TOKEN": "a token"})
        self._replaced = {
            "postgresql+psycopg://propensity:x@postgres/propensity": postgres,
            "redis:6379": redis,
            "/data": str(world.folder),
            "/tmp/bentoml": str(folder / "bentoml"),  # noqa: S108
            "0.0.0.0": "127.0.0.1",  # noqa: S104
            **{port: str(here) for port, here in self.ports.items()},
        }
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._clients: list[httpx.Client] = []

    def run(self, service: str, *command: str) -> tuple[int, str]:
        done = self._image.start(self._services[service], *command, replaced=self._replaced)
        out, _ = done.communicate(timeout=600)
        return done.returncode, out

    def start(self, service: str) -> None:
        log = self._folder / f"{service}.log"
        self._running[service] = self._image.start(self._services[service], replaced=self._replaced, log=log)

    def ready(self, service: str, port: str) -> httpx.Client:
        log, process = self._folder / f"{service}.log", self._running[service]
        client = httpx.Client(base_url=f"http://127.0.0.1:{self.ports[port]}", timeout=60,
                              headers={"Authorization": "Bearer a token"})  # fmt: skip
        self._clients.append(client)
        until = time.monotonic() + 240
        while time.monotonic() < until:
            assert process.poll() is None, log.read_text()
            try:
                if client.get("/readyz").status_code == 200:
                    return client
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise AssertionError(log.read_text())

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        for process in self._running.values():
            kill_with_children(process)


@pytest.fixture
def box(built: Path, world: World, redis_server: str, postgres: str, tmp_path: Path) -> Iterator[Box]:
    [bento] = (built / "bentos" / "propensity").glob("*/bento.yaml")
    root = tmp_path / "root"
    shutil.copytree(bento.parent, root / BENTO.lstrip("/"))
    made = Box(Image(root), copy_of(world, tmp_path / "data"), redis_server, postgres, tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.long
@pytest.mark.nightly
def test_what_compose_starts_works_in_the_folders_of_the_image(box: Box, tmp_path: Path) -> None:
    code, output = box.run("nightly")
    assert code == 0, output
    assert "records in" in output
    code, output = box.run("train", "python", "-m", "propensity", "train", "--outcome", "dance")
    assert (code, "unknown outcome 'dance'" in output) == (2, True), output
    code, output = box.run("cli", "report", "--share", "0.1", "--to", str(tmp_path / "segments.html"))
    assert code == 0, output
    code, output = box.run("cli", "rollback", "churn")
    assert (code, "there is none to go back to" in output) == (2, True), output
    code, output = box.run("cli", "check")
    assert code == 0, output
    for service in ("api", "worker"):  # an API without any worker is not ready
        box.start(service)
    api, worker = box.ready("api", "3000"), box.ready("worker", "3001")
    assert worker.get("/livez").status_code == 200
    _, key = box.run("cli", "keys", "create", "website", "--role", "write")
    secret = key.split()[0]
    event = {"userId": "u0000001", "event": "add_to_cart", "messageId": "compose-1"}
    until = time.monotonic() + 30
    while (sent := api.post("/v1/track", json=event, auth=(secret, ""))).status_code == 401:
        assert time.monotonic() < until, "services take new keys up within seconds"
        time.sleep(0.2)
    assert sent.status_code == 200, sent.text
    answer = api.post("/score", json={"user_ids": ["u0000001"]})
    assert answer.json()["records"][0]["intent"]["churn"]["model"] == "churn/1", answer.text
