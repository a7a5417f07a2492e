"""A PostgreSQL of our own for a measurement, with its settings as Debian ships them."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any


@dataclass(frozen=True)
class Database:
    """A running server.

    Attributes:
        url: its address for SQLAlchemy.
        pid: its process.
    """

    url: str
    pid: int


@contextmanager
def postgres() -> Iterator[Database | None]:
    """A PostgreSQL of our own, or None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        yield None
        return
    programs, home = found[-1].parent, Path(mkdtemp(prefix="postgres-"))
    who: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL does not run as root
        account = pwd.getpwnam("postgres")
        os.chown(home, account.pw_uid, account.pw_gid)
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def run(program: str, *options: str) -> int:
        command = [str(programs / program), *options]
        return subprocess.run(command, cwd=home, check=False, capture_output=True, **who).returncode

    data = str(home / "data")
    run("initdb", "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8")
    server = [str(programs / "postgres"), "-D", data, "-p", port, "-k", str(home), "-h", "127.0.0.1"]
    process = subprocess.Popen(server, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who)
    try:
        while run("pg_isready", "-h", "127.0.0.1", "-p", port):
            if process.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended with {process.returncode}")
            time.sleep(0.1)
        run("createdb", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "propensity")
        yield Database(f"postgresql+psycopg://postgres@127.0.0.1:{port}/propensity", process.pid)
    finally:
        process.send_signal(2)  # SIGINT: it stops at once, in order
        process.wait(20)
        shutil.rmtree(home, ignore_errors=True)
