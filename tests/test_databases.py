"""The databases and ports of tests: none is taken away by another test in silence."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import Database, Postgres, Redis
from tests.ports import free_port, wait_for


@pytest.mark.parametrize("kind", [Postgres, Redis])
def test_a_database_that_ends_by_itself_says_why(kind: type[Postgres | Redis], tmp_path: Path) -> None:
    database: Database = kind(tmp_path)
    database.check()
    assert database.process is not None
    database.process.terminate()
    database.process.wait(20)
    with pytest.raises(AssertionError, match=rf"{kind.__name__} ended by itself, with 0:[\s\S]*(shut|exit)"):
        database.stop()
    database.start()
    database.check()
    database.stop()
    database.check()


def test_a_database_that_cannot_start_says_why(tmp_path: Path) -> None:
    database = Redis(tmp_path)
    database.stop()
    with (
        socket.create_server(("127.0.0.1", database.port)),
        pytest.raises(AssertionError, match="another program listens"),
    ):
        database.start()
    for file in (tmp_path / "appendonlydir").iterdir():
        file.write_bytes(b"no commands")
    with pytest.raises(AssertionError, match=r"Redis ended by itself, with 1:[\s\S]*ppend"):
        database.start()


def test_a_port_is_waited_for_while_its_process_lives() -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(AssertionError, match="ended with 3"):
        wait_for(free_port(), process)


def test_a_port_is_given_once() -> None:
    """To one test process, and in it to one server; not to an outgoing connection either."""
    program = (
        "import sys; from tests.ports import free_port; print(*(free_port() for _ in range(20))); sys.stdin.read()"
    )
    others = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        given = [other.stdout.readline().split() for other in others if other.stdout is not None]
        mine = [str(free_port()) for _ in range(20)]
        assert len({*mine, *given[0], *given[1]}) == 60
        assert all(port < "32768" for port in mine)
    finally:
        for other in others:
            other.communicate("\n")
