"""SQLite files: rows of users in whatever tables they have, and what deleted rows leave behind in their pages.

SQLite's locks belong to the process and end when it closes the file by any other way: such a file is opened by SQLite
alone here, and its bytes are looked at in a process of their own.
"""

import sqlite3
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from features.errors import UnavailableError
from features.system.mentions import Mentions
from serving.database.checkpoint import moved

#: seconds to wait for others who write
_WAIT = 30.0

#: looks for ids, which come by standard input, in files; ends with 1 when one is there
_LOOK = """
import pathlib, sys
ids = [bytes.fromhex(line) for line in sys.stdin.read().split()]
most = max(map(len, ids))
for name in sys.argv[1:]:
    path, rest = pathlib.Path(name), b""
    if path.exists():
        with path.open("rb") as file:
            while some := file.read(1 << 22):
                if any(one in rest + some for one in ids):
                    sys.exit(1)
                rest = some[-most:]
"""


def is_sqlite(file: Path) -> bool:
    """Whether a file is a SQLite database."""
    if file.suffix not in (".db", ".sqlite", ".sqlite3"):
        return False
    try:
        with _opened(file) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        return False
    return True


def table_rows(file: Path, users: Sequence[str], columns: Collection[str], *, remove: bool) -> int:
    """How many rows of tables with a column that names users are of some users; they are removed where asked for."""
    found, marks = 0, ", ".join("?" * len(users))
    with _opened(file) as connection, connection:
        for table, names in _tables(connection):
            for column in names & set(columns):
                theirs = f'"{table}" WHERE CAST("{column}" AS TEXT) IN ({marks})'
                found += int(connection.execute(f"SELECT count(*) FROM {theirs}", users).fetchone()[0])  # noqa: S608
                if remove:
                    connection.execute(f"DELETE FROM {theirs}", users)  # noqa: S608
    return found


def cells(file: Path, mentions: Mentions, columns: Collection[str]) -> int:
    """How many rows of tables without a column that names users name one all the same."""
    found = 0
    if not mentions:
        return found
    with _opened(file) as connection:
        for table, names in _tables(connection):
            if names & set(columns):
                continue
            whole = " || ' ' || ".join(f"""COALESCE(CAST("{name}" AS BLOB), '')""" for name in sorted(names))
            condition = " OR ".join("instr(cell, ?) > 0" for _ in mentions.texts)
            rows = connection.execute(
                f'SELECT cell FROM (SELECT CAST({whole} AS BLOB) AS cell FROM "{table}") WHERE {condition}',  # noqa: S608 - its own names
                mentions.texts,
            )
            found += sum(mentions.in_bytes(cell) for (cell,) in rows)
    return found


def scrub(files: Iterable[Path], users: Sequence[str]) -> None:
    """Make sure that no page of a database holds what was deleted of users.

    Rows are overwritten when they are deleted (``secure_delete``), and what waits in the log beside a database is
    moved into it here. It is rewritten only where its bytes still name a user, as after deletions of older versions.

    Raises:
        UnavailableError: somebody reads or writes for so long that it cannot be done.
    """
    for file in sorted(files):
        _settle(file)
        if _bytes_name(file, users):
            with _opened(file) as connection, _waited_for(file):
                connection.execute("VACUUM")
            _settle(file)


def _settle(file: Path) -> None:
    """Move the write-ahead log of a database into it."""
    with _opened(file) as connection, _waited_for(file):
        done = moved(lambda: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0], _WAIT)
    if not done:
        raise _in_use(file)


def _bytes_name(file: Path, users: Sequence[str]) -> bool:
    texts = "\n".join(user.encode().hex() for user in users)
    command = [sys.executable, "-c", _LOOK, str(file), f"{file}-wal", f"{file}-journal"]
    done = subprocess.run(command, input=texts, text=True, capture_output=True, check=False)  # noqa: S603 - no shell
    if done.returncode not in (0, 1) or done.stderr:
        raise UnavailableError(f"{file} cannot be looked through: {done.stderr[-200:]}", fix="ask again")
    return done.returncode == 1


def _tables(connection: sqlite3.Connection) -> Iterator[tuple[str, set[str]]]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'")
    for (table,) in rows.fetchall():
        yield table, {row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')}


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, timeout=_WAIT)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        yield connection


@contextmanager
def _waited_for(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise _in_use(file) from error


def _in_use(file: Path) -> UnavailableError:
    return UnavailableError(f"{file} is in use, and its pages may still hold what was removed.", fix="erase again")
