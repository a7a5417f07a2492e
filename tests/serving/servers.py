"""Real servers that tests start, stop and kill."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from serving.process.supervisor import ONE_THREAD
from tests.conftest import ROOT, World
from tests.ports import free_port, wait_for


def kill_with_children(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """End a process, and those it has started, at once; not another that has its number since it ended."""
    if process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
    process.wait(20)


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
        kill_with_children(self.process)


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
        command = [sys.executable, "-m", "propensity", "serve-on", "127.0.0.1", str(self.port), str(fd), "0"]
        if supervised:
            command = [sys.executable, "-c", _SUPERVISE, str(fd), *command]
        usual = {**ONE_THREAD, "BENTOML_HOME": str(log.parent / "bentoml"), "PYTHONWARNINGS": "ignore"}
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
