"""Modules run as programs in processes of their own, without the seconds that each would spend importing."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

#: libraries whose threads do not survive a fork, and might hold a lock at that moment, start none
_NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "_RJEM_MALLOC_CONF": "background_thread:false",
               "JE_ARROW_MALLOC_CONF": "background_thread:false"}  # fmt: skip


class Forks:
    """Runs programs as forks of one process, see `tests.forkserver`; another is started after one that hangs.

    Args:
        environment: what the process is started with.
        folder: where programs are run.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment, self._folder = dict(environment), folder
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def run(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str], seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """As ``python -m module arguments`` to its end.

        Raises:
            subprocess.TimeoutExpired: it takes longer; its ``stderr`` says where it was.
        """
        channel = self._channel or self._start()
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            for file in (out, err):
                file.touch()
            request = {"module": module, "arguments": list(arguments), "environment": dict(environment),
                       "cwd": str(self._folder), "out": str(out), "err": str(err),
                       "seconds": 0.8 * seconds}  # fmt: skip
            channel.settimeout(seconds)
            channel.sendall(json.dumps(request).encode() + b"\n")
            command = [sys.executable, "-m", module, *arguments]
            try:
                answer = channel.recv(100)
            except TimeoutError as error:
                self.close()
                raise subprocess.TimeoutExpired(command, seconds, stderr=err.read_bytes()) from error
            if not answer:
                self.close()
                raise ChildProcessError("the process that is forked has ended")
            return subprocess.CompletedProcess(command, int(answer), out.read_text(), err.read_text())

    def close(self) -> None:
        """End the process, and what it runs."""
        if self._process is not None and self._channel is not None:
            self._channel.close()
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)
        self._process = self._channel = None

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forkserver", str(theirs.fileno())],
                env=self._environment | _NO_THREADS, cwd=self._folder, pass_fds=[theirs.fileno()],
                start_new_session=True,
            )  # fmt: skip
        self._channel = ours
        return ours


#: what is read when libraries are imported, and by Python itself; all else is passed to the fork
_READ_EARLY = ("OMP_", "POLARS_", "NUMBA_", "PYTHON")


@cache
def _forks(early: tuple[tuple[str, str], ...], folder: Path) -> Forks:
    other = {name: value for name, value in os.environ.items() if not name.startswith(_READ_EARLY)}
    made = Forks(other | dict(early), folder)
    atexit.register(made.close)
    return made


def run_module(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a module as a program, to its end; one that hangs as a fork is run again as a process of its own.

    A library that was imported before the fork may wait for a thread that the fork does not have. No user's program is
    a fork, so a hang counts only if a fresh process hangs, too; where the fork was is shown as a warning.

    Args:
        module: its name.
        arguments: on the command line.
        environment: all of it.
        folder: where it runs.
        seconds: until it is given up.
    """
    early = tuple(sorted((k, v) for k, v in environment.items() if k.startswith(_READ_EARLY)))
    try:
        return _forks(early, folder).run(module, arguments, environment, seconds)
    except subprocess.TimeoutExpired as hung:
        warnings.warn(f"a fork hung: {hung}\n{(hung.stderr or b'').decode(errors='replace')}", stacklevel=2)
        return subprocess.run(
            [sys.executable, "-m", module, *arguments], env=dict(environment), cwd=folder, capture_output=True,
            text=True, timeout=seconds, check=False,
        )  # fmt: skip
