"""Real servers, databases and stores that tests start, stop and kill."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import ROOT, World, free_port, wait_for


class Server:
    """A served world."""

    def __init__(self, world: World, log: Path, bento: str = "", **environment: str) -> None:
        self.port = free_port()
        self.log = log
        ours = [sys.executable, "-m", "propensity", "serve", "--port", str(self.port)]
        packed = [sys.executable, "-m", "bentoml", "serve", bento, "--host", "127.0.0.1", "--port", str(self.port)]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                packed if bento else ours, env=world.environment | environment, cwd=world.folder if bento else ROOT,
                stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def ready(self, seconds: float = 180) -> "Server":
        """Wait until it is; one that does not get there is killed, so that it harms no other test."""
        until = time.monotonic() + seconds
        try:
            wait_for(self.port, self.process, seconds)
            while not self._is_ready():
                assert time.monotonic() < until, self.log.read_text()
                time.sleep(0.1)
        except BaseException:
            self.kill()
            raise
        return self

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(20)

    def kill(self) -> None:
        """At once, with its workers, as a machine that fails."""
        self.client.close()
        if self.process.poll() is None:
            for process in psutil.Process(self.process.pid).children(recursive=True):
                process.kill()
            self.process.kill()
        self.process.wait(20)


class Successor:
    """The process that answers, as its supervisor starts it, again after each end: whatever is away by then.

    Args:
        world: what is served.
        log: where it writes.
        supervised: start it under a process that does nothing else, `process`, and may be killed.
    """

    def __init__(self, world: World, log: Path, *, supervised: bool = False, **environment: str) -> None:
        self.log = log
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port, fd = self._socket.getsockname()[1], self._socket.fileno()
        command = [sys.executable, "-m", "_bentoml_impl.worker.service", "serving.api.service:PropensityService",
                   "--fd", str(fd)]  # fmt: skip
        if supervised:
            command = [sys.executable, "-c", _SUPERVISE, str(fd), *command]
        usual = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "BENTOML_HOME": str(log.parent / "bentoml"),
                 "PYTHONWARNINGS": "ignore"}  # fmt: skip
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command, env=world.environment | usual | environment, cwd=ROOT, stdout=out, stderr=out, pass_fds=[fd]
            )
        self.url = f"http://127.0.0.1:{self.port}"
        self._socket.close()  # the process has it

    def ask(self, path: str, body: object = None, seconds: float = 30) -> httpx.Response | None:
        """The answer to a call, or None where there is none yet."""
        try:
            return httpx.request("GET" if body is None else "POST", self.url + path, json=body, timeout=seconds)
        except httpx.TransportError:
            return None

    def status(self, path: str = "/readyz", body: object = None) -> int:
        answer = self.ask(path, body)
        return answer.status_code if answer is not None else 0

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


_SUPERVISE = "import subprocess, sys; subprocess.Popen(sys.argv[2:], pass_fds=[int(sys.argv[1])]).wait()"


def postgres_programs() -> Path:
    """The folder of PostgreSQL's programs; the test is skipped where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("PostgreSQL is not installed (CI has it)")
    return found[-1].parent


class Postgres:
    """A PostgreSQL of our own, from Debian's packages."""

    def __init__(self, folder: Path) -> None:
        self._bin, self.port = postgres_programs(), free_port()
        self._home = folder / "postgres"
        self._home.mkdir(mode=0o755)
        # PostgreSQL does not run as root
        self._who: dict[str, object] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self._home, account.pw_uid, account.pw_gid)
            self._who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            for parent in self._home.parents:
                if parent.stat().st_uid == 0 and parent != Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o711)
        self._run(self._bin / "initdb", "-D", self._home / "data", "-U", "postgres", "--auth=trust", "-E", "UTF8")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        self._run(self._bin / "createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "propensity")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/propensity"

    def start(self) -> None:
        command = [
            self._bin / "postgres",
            "-D",
            self._home / "data",
            "-p",
            str(self.port),
            "-k",
            self._home,
            "-h",
            "127.0.0.1",
        ]
        self.process = subprocess.Popen(
            command,
            cwd=self._home,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._who,  # type: ignore[call-overload]
        )
        wait_for(self.port, self.process)
        ready = [self._bin / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(100):
            if subprocess.run(ready, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError("PostgreSQL does not get ready")

    def stop(self) -> None:
        """As a crash would: at once."""
        if self.process is not None:
            self.process.send_signal(3)  # SIGQUIT: immediate shutdown
            self.process.wait(20)
            self.process = None

    def _run(self, *command: object) -> None:
        subprocess.run([str(c) for c in command], cwd=self._home, check=True, capture_output=True, **self._who)  # type: ignore[call-overload]


class Redis:
    """A Redis of our own that writes every change to its file, as a store that must not lose any is set up."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed (CI installs it)")
        self._folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            "redis-server",
            "--port",
            str(self.port),
            "--save",
            "",
            "--appendonly",
            "yes",
            "--dir",
            str(self._folder),
        ]
        self.process = subprocess.Popen([*command, "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL)
        wait_for(self.port, self.process)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None
