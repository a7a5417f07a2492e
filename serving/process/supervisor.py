"""The process that starts the server, and starts it again when it dies; it imports next to nothing."""

import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

from serving.process.parent import SUPERVISOR

log = logging.getLogger("propensity")

#: answers are made of many small evaluations, which threads of other cores only hold up
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}

#: how long a server that is asked to end may answer what it has begun, in seconds
GRACE = 30.0
#: a server that lived as long did not die of its start; it is started again at once
LIVED = 10.0
#: the longest pause before another start, in seconds
LONGEST_PAUSE = 30.0


class Supervisor:
    """One server process, kept running on a port that stays taken while it is started again.

    Args:
        command: starts the server. Two file descriptors are added to it: the port's, and that of a pipe into which
            the first server writes a byte once nothing is in the way of a start; 0 for each server after it.
        listening: the port, which listens: calls wait in it while the server is started.
        environment: of the server.
    """

    def __init__(self, command: Sequence[str], listening: socket.socket, environment: Mapping[str, str]) -> None:
        self._command, self._listening = command, listening
        self._environment = {**environment, SUPERVISOR: str(os.getpid())}
        self._ending = threading.Event()
        self._server: subprocess.Popen[bytes] | None = None
        self._can_start = False

    def run(self) -> int:
        """Keep the server running until this process is asked to end.

        Returns:
            0 after an end that was asked for, or what a server that cannot be started ended with.
        """
        for asked in (signal.SIGTERM, signal.SIGINT):
            signal.signal(asked, lambda *_: self._end())
        pause = 0.0
        while not self._ending.wait(pause):
            began = time.monotonic()
            code = self._once()
            if self._ending.is_set():
                break
            if not self._can_start:
                return code
            pause = 0.0 if time.monotonic() - began > LIVED else min(max(1.0, 2 * pause), LONGEST_PAUSE)
            log.warning("the server ended with %d; it is started again in %.0f s", code, pause)
        return 0

    def _once(self) -> int:
        """Run one server to its end; what it ended with."""
        port = self._listening.fileno()
        found, first = (0, 0) if self._can_start else os.pipe()
        self._server = subprocess.Popen(  # noqa: S603 - our own program
            [*self._command, str(port), str(first)], env=self._environment, pass_fds=[port, *([first] if first else [])]
        )
        if self._ending.is_set():  # asked for between the loop's look and the start
            self._end()
        if first:
            os.close(first)
            with os.fdopen(found, "rb") as pipe:
                self._can_start = bool(pipe.read(1))
        return self._server.wait()

    def _end(self) -> None:
        self._ending.set()
        if self._server is not None and self._server.poll() is None:
            self._server.terminate()
            last = threading.Timer(GRACE, self._server.kill)
            last.daemon = True
            last.start()
