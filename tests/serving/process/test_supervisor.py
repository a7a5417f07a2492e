"""The process that starts the server: what it passes on, and what it starts again."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.conftest import ROOT
from tests.ports import free_port
from tests.serving.ingest.asking import until

#: a server that has found that it can start, and answers every call with its process id
ANSWERS = """
import os, socket, sys
first = int(sys.argv[2])
if first:
    os.write(first, b"+")
    os.close(first)
with socket.socket(fileno=int(sys.argv[1])) as port:
    while True:
        caller, _ = port.accept()
        caller.sendall(str(os.getpid()).encode())
        caller.close()
"""
#: the same, but it is deaf to a request to end
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + ANSWERS
#: a server that finds it cannot start
REFUSES = "import sys; print('no.'); sys.exit(2)"

SUPERVISES = """
import os, socket, sys
from serving.process import supervisor
supervisor.GRACE = 1.0
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
sys.exit(supervisor.Supervisor([sys.executable, "-c", sys.argv[2]], listening, os.environ).run())
"""

Start = Callable[[str], "Supervised"]


class Supervised:
    """A supervisor in a process of its own, and its port."""

    def __init__(self, server: str) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISES, str(self.port), server], cwd=ROOT, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def answering(self) -> int:
        """The process id of the server; the call waits while there is none."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as call:
            return int(call.makefile().read())

    def server(self) -> int:
        found: list[int] = []

        def looked() -> bool:
            try:
                found.append(self.answering())
            except OSError:
                return False
            return True

        until(looked, 30)
        return found[0]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Supervised] = []

    def begin(server: str) -> Supervised:
        started.append(Supervised(server))
        return started[-1]

    yield begin
    for supervised in started:
        if supervised.process.poll() is None:
            for child in psutil.Process(supervised.process.pid).children():
                child.kill()
            supervised.process.kill()
        supervised.process.communicate()


def killed(server: int) -> None:
    """Kill a server, and wait until it is gone: what it has accepted by then ends with it."""
    process = psutil.Process(server)
    process.kill()
    process.wait(30)


def test_a_server_that_is_killed_is_started_again_and_calls_wait_for_it(start: Start) -> None:
    supervised = start(ANSWERS)
    first = supervised.server()
    killed(first)
    second = supervised.answering()  # the port is never closed: no call is refused
    assert second != first
    killed(second)
    assert supervised.answering() not in (first, second)
    assert supervised.process.poll() is None


def test_a_server_that_cannot_start_ends_its_supervisor_as_it_ended(start: Start) -> None:
    supervised = start(REFUSES)
    output, _ = supervised.process.communicate(timeout=30)
    assert supervised.process.returncode == 2
    assert output == "no.\n"


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("server", [ANSWERS, DEAF], ids=["heeds", "deaf"])
def test_an_end_that_is_asked_for_ends_both(start: Start, server: str, asked: signal.Signals) -> None:
    supervised = start(server)
    child = psutil.Process(supervised.server())
    supervised.process.send_signal(asked)
    assert supervised.process.wait(30) == 0
    assert not child.is_running()


def test_it_imports_none_of_the_heavy_packages() -> None:
    code = "import serving.process.supervisor, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"polars", "numpy", "numba", "duckdb", "mlflow", "feast", "bentoml"} & set(done.stdout.split())
