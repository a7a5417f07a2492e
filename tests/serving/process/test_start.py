"""Starting, as a successor too, while something is away; and ending with the process that started it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from features.errors import PropensityError
from propensity import startup
from propensity.startup import free
from serving.database.log.live_log import LiveLog
from tests.conftest import ROOT, World
from tests.databases import Postgres, Redis
from tests.ports import free_port
from tests.serving.conftest import copy_of
from tests.serving.disks import SmallDisk, small_disk
from tests.serving.ingest.asking import until
from tests.serving.registries import RegistryServer
from tests.serving.servers import Successor

CLOCK = "2026-03-01T09:00:00Z"
SLOW = 120.0


def waits_for_what_is_away(server: Successor, output: str) -> None:
    """Everything is 503 in the one shape, the process is alive, and nothing is written for each request."""
    until(lambda: server.status() == 503, SLOW)
    until(lambda: (reported := server.ask("/readyz")) is not None and output in reported.text, SLOW)
    bodies = {"/score": {"user_ids": ["u0000001"]}, "/v1/track": {"userId": "u1", "event": "app_open"}}
    for path in ("/models", "/users/u0000001", "/segments", *bodies):
        answer = server.ask(path, bodies.get(path))
        assert answer is not None
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        assert set(answer.json()) == {"error", "code", "fix"}
    assert server.status("/livez") == 200
    size = server.log.stat().st_size
    for _ in range(50):
        assert server.status("/models") == 503
    assert server.log.stat().st_size - size < 2_000
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
def mine(world: World, tmp_path: Path) -> World:
    return copy_of(world, tmp_path / "world")


@pytest.mark.long
@pytest.mark.xdist_group("failures")
def test_a_successor_waits_for_a_database_that_is_away(mine: World, tmp_path: Path) -> None:
    store = Postgres(tmp_path)
    environment = {"PROPENSITY_AUTH": "off", "PROPENSITY_CLOCK": CLOCK, "PROPENSITY_LIVE_LOG": store.url}
    store.stop()
    server = Successor(mine, tmp_path / "log", **environment)
    try:
        waits_for_what_is_away(server, "live log")
        store.start()
        until(lambda: server.status("/models") == 200, SLOW)
    finally:
        server.stop()
        store.stop()


@pytest.mark.long
@pytest.mark.xdist_group("failures")
def test_a_successor_takes_events_while_redis_is_away(mine: World, tmp_path: Path) -> None:
    store = Redis(tmp_path)
    environment = {"PROPENSITY_AUTH": "off", "PROPENSITY_CLOCK": CLOCK}
    environment |= {"PROPENSITY_ONLINE_STORE": "redis", "PROPENSITY_REDIS": store.address}
    store.stop()
    server = Successor(mine, tmp_path / "log", **environment)
    try:
        until(lambda: server.status("/models") == 200, SLOW)
        ready, scores = server.ask("/readyz"), server.ask("/score", {"user_ids": ["u0000001"]})
        assert ready is not None
        assert scores is not None
        assert "online_store" in ready.json()["missing"]
        for answer in (ready, scores):
            assert answer.status_code == 503
            assert "retry-after" in answer.headers
            assert answer.json().keys() >= {"error", "code", "fix"}
        assert server.status("/v1/track", {"userId": "u1", "event": "app_open"}) == 200
        assert server.status("/livez") == 200
        assert "Traceback" not in server.log.read_text()
        store.start()
        until(lambda: "it holds no profiles" in (((reported := server.ask("/readyz")) and reported.text) or ""), SLOW)
    finally:
        server.stop()
        store.stop()


@pytest.mark.long
@pytest.mark.xdist_group("failures")
def test_a_successor_waits_for_a_registry_server_that_is_away(mine: World, tmp_path: Path) -> None:
    registry = RegistryServer(mine, tmp_path / "registry.log")
    environment = {"PROPENSITY_AUTH": "off", "PROPENSITY_CLOCK": CLOCK, "PROPENSITY_TRACKING_URI": registry.url}
    server = Successor(mine, tmp_path / "log", **environment)
    try:
        waits_for_what_is_away(server, f"the model registry at {registry.url} fails")
        assert "PROPENSITY_TRACKING_URI" in server.log.read_text()
        registry.start()
        until(lambda: server.status() == 200, SLOW)
        asked = {"user_ids": ["u0000001"]}
        assert server.status("/score", asked) == 200
        models = server.ask("/models")
        assert models is not None
        assert {model["outcome"] for model in models.json()} == set(mine.definition.outcomes)
        registry.stop()  # what is loaded is still served
        assert server.status("/score", asked) == 200
        assert server.status() == 200
    finally:
        server.stop()
        registry.stop()


@pytest.mark.long
@pytest.mark.xdist_group("failures")
@pytest.mark.parametrize(
    "damaged",
    ["live.db", "../../propensity.yaml",
     *(pytest.param(file, marks=pytest.mark.nightly) for file in ("online.db", "columns.json", "../mlflow.db"))],
)  # fmt: skip
def test_a_successor_waits_until_a_damaged_file_is_mended(mine: World, tmp_path: Path, damaged: str) -> None:
    file = mine.settings.folder(mine.definition.name) / damaged
    kept = file.read_bytes() if file.exists() else None
    file.write_bytes(b"not what it was" * 1_000)
    server = Successor(mine, tmp_path / "log", PROPENSITY_AUTH="off", PROPENSITY_CLOCK=CLOCK)
    try:
        waits_for_what_is_away(server, "")
        if kept is None:
            file.unlink()
        else:
            file.write_bytes(kept)
        until(lambda: server.status() == 200, SLOW)
        assert server.status("/score", {"user_ids": ["u0000001"]}) == 200
    finally:
        server.stop()


@pytest.mark.long
@pytest.mark.xdist_group("failures")
def test_a_killed_supervisor_takes_its_server_along_and_the_port_is_free(mine: World, tmp_path: Path) -> None:
    server = Successor(mine, tmp_path / "log", supervised=True, PROPENSITY_AUTH="off", PROPENSITY_CLOCK=CLOCK)
    until(lambda: server.status("/livez") == 200, SLOW)
    [child] = psutil.Process(server.process.pid).children()
    server.process.kill()
    server.process.wait(20)
    until(lambda: not child.is_running(), 30)
    free("127.0.0.1", server.port)


def refused(world: World, *more: str, **environment: str) -> str:
    """What `propensity serve` says when it does not start."""
    command = [sys.executable, "-m", "propensity", "serve", *more]
    given = world.environment | {"PROPENSITY_AUTH": "off"} | environment
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "nanobind" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2, "what, and the fix"
    return done.stderr


def test_a_busy_port_is_reported_in_a_line_with_the_fix(untrained_world: World) -> None:
    import socket

    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        output = refused(untrained_world, "--port", str(port))
    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in output
    assert "--port" in output


def test_of_two_that_take_a_port_at_once_one_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "ENDING", 0.0)
    port = free_port()
    with startup.taken("127.0.0.1", port), pytest.raises(PropensityError, match="address already in use"):
        startup.taken("127.0.0.1", port)


@pytest.mark.parametrize("more", [["--host", "nowhere"], ["--host", "0.0.0.0"]])  # noqa: S104
def test_a_start_that_only_a_person_can_mend_is_refused(untrained_world: World, more: list[str]) -> None:
    assert "fix" in refused(untrained_world, "--port", str(free_port()), *more)


def test_the_server_is_this_program_whatever_folders_are_in_the_current_one(
    untrained_world: World, tmp_path: Path
) -> None:
    for name in ("features", "propensity", "serving"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('somebody else')")
    program = Path(sys.executable).with_name("propensity")
    done = subprocess.run(
        [program, "serve", "--host", "0.0.0.0", "--port", str(free_port())],  # noqa: S104
        cwd=tmp_path, env=untrained_world.environment | {"PROPENSITY_AUTH": "off"}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert "PROPENSITY_AUTH=off with host 0.0.0.0" in done.stderr
    assert done.returncode == 2


def test_a_late_refusal_is_two_lines_too() -> None:
    """DuckDB's binding is loaded by then, and would write what it takes for leaks at the interpreter's end."""
    code = (
        "import duckdb, propensity.__main__ as main; from features.errors import PropensityError\n"
        "kept = duckdb.connect()\n"
        "def app(): raise PropensityError('no.', fix='yes')\n"
        "main.app = app; main.program()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error no.\nfix yes\n"


@pytest.mark.long
@pytest.mark.xdist_group("failures")
def test_a_service_without_a_model_is_a_service(untrained_world: World, tmp_path: Path) -> None:
    mine = copy_of(untrained_world, tmp_path / "world")
    done = mine.run(sys.executable, "-m", "propensity", "materialize")
    assert done.returncode == 0, done.stderr
    server = Successor(mine, tmp_path / "log", PROPENSITY_AUTH="off", PROPENSITY_CLOCK=CLOCK)
    try:
        until(lambda: server.status() == 200, SLOW)
        with httpx.Client(base_url=server.url, timeout=60) as ask:
            assert ask.get("/models").json() == []
            users = [f"u{i:07d}" for i in range(400)]
            records = ask.post("/score", json={"user_ids": users}).json()["records"]
            assert {intent["why"] for record in records for intent in record["intent"].values()} == {"no_model"}
            assert any(record["rfm"]["group"] for record in records)
            assert "loyal" in {record["state"] for record in records}
            assert ask.get("/segments").status_code == 200
            ask.post("/v1/track", json={"userId": users[0], "event": "add_to_cart"})
            until(lambda: "cart_abandoned_24h" in record_of(ask, users[0])["segments"], SLOW)
    finally:
        server.stop()


def record_of(ask: httpx.Client, user: str) -> dict:
    return ask.post("/score", json={"user_ids": [user]}).json()["records"][0]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 96) as disk:
        yield disk


@pytest.mark.long
@pytest.mark.xdist_group("failures")
def test_a_full_disk_under_the_home(world: World, tmp_path: Path, full_disk: SmallDisk) -> None:
    mine = copy_of(world, full_disk.folder / "world")
    server = Successor(mine, tmp_path / "log", PROPENSITY_AUTH="off", PROPENSITY_CLOCK=CLOCK)
    sent, number = set(), 0

    def send() -> int:
        nonlocal number
        number += 1
        body = {"userId": "u0000001", "event": "app_open", "messageId": f"m-{number}", "properties": {"x": "y" * 9_000}}
        answer = server.ask("/v1/track", body)
        assert answer is not None
        if answer.status_code == 200:
            sent.add(f"m-{number}")
        else:
            assert "retry-after" in answer.headers
        return answer.status_code

    try:
        until(lambda: server.status() == 200, SLOW)
        assert send() == 200
        full_disk.fill()
        until(lambda: send() == 503, SLOW)
        for _ in range(20):
            assert server.status("/score", {"user_ids": ["u0000001"]}) == 200
            assert send() == 503
            assert server.status("/metrics") == 200
        full_disk.free()
        until(lambda: send() == 200, SLOW)
        until(lambda: server.status() == 200, SLOW)
    finally:
        server.stop()
    log = LiveLog.open(mine.definition, mine.settings)
    kept = [message.id for message in log.of_users(["u0000001"])]
    log.close()
    assert sent <= set(kept)
    assert len(kept) == len(set(kept))
