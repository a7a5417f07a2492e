"""Ports for the servers of tests: each is given to one test process, which has it until it ends."""

import fcntl
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

#: below those that systems give to outgoing connections: one of them could take the port of a server that restarts
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A port that nobody listens on, and that no other test process is given."""
    folder = Path(tempfile.gettempdir()) / f"propensity-test-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for port in _PORTS:
        if _reserved(folder / str(port)) and not in_use(port):
            return port
    raise RuntimeError(f"all ports from {_PORTS.start} to {_PORTS.stop - 1} are in use")


def _reserved(file: Path) -> bool:
    """Take a lock that ends with this process, unless somebody has it; this process, too, has it once only."""
    lock = os.open(file, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    return True


def in_use(port: int) -> bool:
    """Whether a program listens on a port; connections that have ended do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Wait until a process listens on a port; fails when it ends first."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            listening = probe.connect_ex(("127.0.0.1", port)) == 0
        assert process.poll() is None, f"the process ended with {process.returncode} before it listened"
        if listening:
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port} after {seconds} s")
