"""Real databases that tests start, stop and kill; one that ends by itself fails the test, and its log says why."""

import atexit
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from tests.ports import free_port, in_use, wait_for

#: how much of a log is shown
_LINES = 40


class Database:
    """A program that listens on a port of its own, and writes what it says to a file.

    Attributes:
        port: where it listens, also after it was started again.
        process: None while it is stopped.
    """

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._log = log

    def start(self) -> None:
        """Start it, and wait until it answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """As a crash would: at once.

        Raises:
            AssertionError: it had ended by itself.
        """
        self.check()
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    def check(self) -> None:
        """Fail with the end of its log where it has ended without being stopped; it can be started again."""
        if self.process is not None and self.process.poll() is not None:
            code, self.process = self.process.returncode, None
            raise AssertionError(f"{type(self).__name__} ended by itself, with {code}:\n{self._last_lines()}")

    def _launch(self, command: Sequence[object], **options: Any) -> None:
        assert not in_use(self.port), f"another program listens on port {self.port}"
        with self._log.open("ab") as out:
            self.process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out, **options)
        try:
            wait_for(self.port, self.process)
        except AssertionError:
            self.check()
            raise

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LINES:])


def postgres_programs() -> Path:
    """The folder of PostgreSQL's programs; the test is skipped where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("PostgreSQL is not installed (CI has it)")
    return found[-1].parent


class Postgres(Database):
    """A PostgreSQL of our own, from Debian's packages.

    Its files lie apart from those of the tests: it is of another user, and pytest closes its folders to all others
    whenever a run begins on the machine, this one or another.

    Args:
        folder: for its log.
    """

    def __init__(self, folder: Path) -> None:
        self._bin, self._home = postgres_programs(), Path(mkdtemp(prefix="postgres-"))
        atexit.register(shutil.rmtree, self._home, ignore_errors=True)
        super().__init__(folder / "postgres.log")
        self._home.chmod(0o755)
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
        self.start()
        self._run(self._bin / "createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "propensity")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/propensity"

    def start(self) -> None:
        command = [self._bin / "postgres", "-D", self._home / "data", "-p", self.port, "-k", self._home,
                   "-h", "127.0.0.1"]  # fmt: skip
        self._launch(command, cwd=self._home, **self._who)
        ready = [str(self._bin / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(100):
            if subprocess.run(ready, capture_output=True, check=False).returncode == 0:
                return
            self.check()
            time.sleep(0.1)
        raise AssertionError(f"PostgreSQL does not get ready:\n{self._last_lines()}")

    def stop(self) -> None:
        self.check()
        if self.process is not None:
            self.process.send_signal(3)  # SIGQUIT: immediate shutdown, which ends all its processes
            self.process.wait(20)
            self.process = None

    def _run(self, *command: object) -> None:
        arguments = [str(part) for part in command]
        subprocess.run(arguments, cwd=self._home, check=True, capture_output=True, **self._who)  # type: ignore[call-overload]


class Redis(Database):
    """A Redis of our own.

    Args:
        folder: for its files.
        kept: write every change to a file, as a store that must not lose any is set up.
    """

    def __init__(self, folder: Path, *, kept: bool = True) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed (CI installs it)")
        super().__init__(folder / "redis.log")
        self._folder, self._kept = folder, kept
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._launch(["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--dir", self._folder,
                      "--appendonly", "yes" if self._kept else "no"])  # fmt: skip
