"""A deployment whose parts can be killed one by one, and the commands beside it."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import httpx
import psutil
from pydantic import SecretStr

from features.settings import Settings
from tests.conftest import ROOT, World
from tests.databases import Postgres, Redis
from tests.forks import run_module
from tests.serving.ingest.asking import CLOCK, until
from tests.serving.servers import Server
from tests.serving.stores import Stores


class Site:
    """A deployment under load.

    Args:
        world: a trained world of the test's own.
        folder: for logs and databases.
        stores: with PostgreSQL and Redis instead of SQLite.
        worker: with a worker of its own beside the server.
    """

    def __init__(self, world: World, folder: Path, *, stores: bool = False, worker: bool = False) -> None:
        self.world, self._folder, self._stores, self._worker = world, folder, stores, worker
        self.environment = {"PROPENSITY_AUTH": "off", "PROPENSITY_CLOCK": CLOCK}
        self.postgres: Postgres | None = None
        self.redis: Redis | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.server.kill()
        self._end()

    def _start(self) -> None:
        if self._stores:
            (self._folder / "redis").mkdir()
            self.postgres, self.redis = Postgres(self._folder), Redis(self._folder / "redis")
            self.environment |= {
                "PROPENSITY_ONLINE_STORE": "redis", "PROPENSITY_REDIS": self.redis.address,
                "PROPENSITY_LIVE_LOG": self.postgres.url,
            }  # fmt: skip
            self.run("materialize")
        if self._worker:
            self.work()
        self.serve()

    def _end(self) -> None:
        with ExitStack() as ending:
            for store in (self.redis, self.postgres):
                if store is not None:
                    ending.callback(store.stop)
            for worker in self.workers:
                worker.kill()
                worker.wait(20)

    @property
    def settings(self) -> Settings:
        """Of a program that looks at the stores from outside."""
        settings = Settings(home=self.world.folder / "var")
        if self.redis is None or self.postgres is None:
            return settings
        more = {"online_store": "redis", "redis": self.redis.address, "live_log": SecretStr(self.postgres.url)}
        return settings.model_copy(update=more)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def stores(self) -> Stores:
        return Stores(self.world.definition, self.settings)

    def start(self) -> None:
        """Start the service."""
        log = self._folder / f"serve-{time.monotonic_ns()}.log"
        self.server = Server(self.world, log, **self.environment)

    def serve(self) -> None:
        """Start the service and wait until it is ready."""
        self.start()
        self.server.ready()

    def work(self) -> None:
        """Start a worker of its own; from then on the server has none."""
        self.environment["PROPENSITY_WORKER"] = "off"
        with (self._folder / f"worker-{len(self.workers)}.log").open("wb") as out:
            command = [sys.executable, "-m", "propensity", "worker", "--port", "0"]
            environment = self.world.environment | self.environment
            self.workers.append(subprocess.Popen(command, env=environment, cwd=ROOT, stdout=out, stderr=out))

    def run(self, *command: str, **environment: str) -> str:
        """Run a command beside the service, to its end."""
        done = self._done(command, environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run_until_done(self, *command: str, times: int = 10) -> None:
        """Run a command again while it says that something is left to do."""
        done = [self._done(command, {})]
        while done[-1].returncode == 1 and len(done) < times:
            done.append(self._done(command, {}))
        assert done[-1].returncode == 0, done[-1].stdout + done[-1].stderr

    def refused(self, *command: str) -> str:
        """What a command says that does not do its work: what is wrong, and the remedy."""
        done = self._done(command, {})
        assert done.returncode in (1, 2), done.stdout + done.stderr
        assert "fix" in done.stderr
        assert "Traceback" not in done.stderr
        return " ".join((done.stdout + done.stderr).split())

    def missing(self) -> str:
        """Wait until the service says why it is not ready; returns that."""
        reported = ""

        def says() -> bool:
            nonlocal reported
            try:
                answer = httpx.get(f"{self.url}/readyz", timeout=10)
            except httpx.TransportError:
                return False
            assert answer.status_code == 503 or not answer.json().get("missing"), answer.text
            reported = answer.text
            return bool(answer.json().get("missing"))

        until(says, seconds=180)
        return reported

    def _done(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return run_module("propensity", command, self.world.environment | self.environment | environment, ROOT)

    def kill_server_process(self) -> None:
        """Kill the processes that answer, not the one that starts them again."""
        for process in psutil.Process(self.server.process.pid).children(recursive=True):
            process.kill()

    def ready(self) -> bool:
        """Whether the service says that it is ready."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    def wait_until_ready(self) -> None:
        until(self.ready, seconds=300)
