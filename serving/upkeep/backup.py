"""A consistent copy of a home, and its return, proven by checksums."""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from features.errors import PropensityError
from features.system.files.durable import new_folder, place_folder
from features.system.files.lock import locked
from serving.upkeep.search import is_unfinished

#: names every file of a backup with its SHA-256
CATALOGUE = "backup.json"

#: folders of a definition that jobs hold by themselves
_HELD = ("audiences", "events", "monitoring", "scores")

#: what belongs to running processes, not to the data
_LEFT_OUT = ("-wal", "-shm", "-journal", ".lock", ".readers", ".new")


class BackupError(PropensityError):
    """A backup cannot be made, or is not whole."""

    code = "backup"


def backup(home: Path, to: Path) -> int:
    """Copy a home while services run; jobs that write in it wait.

    Databases are copied by SQLite's own backup, live logs last: a log that is newer than what was made of it is read
    on, and an older one would be refused.

    Args:
        home: what is copied, with all definitions, model registry and artifacts.
        to: a folder that is not there yet.

    Returns:
        How many files were copied.

    Raises:
        BackupError: there is nothing to copy, or something is in the way.
        UnavailableError: a job is writing.
    """
    if not home.is_dir():
        raise BackupError(f"there is no home at {home}.", fix="set PROPENSITY_HOME")
    _free(to)
    fresh = _unfinished(to)
    with ExitStack() as locks:
        jobs = (*home.iterdir(), *(folder for name in _HELD for folder in home.glob(f"*/{name}")))
        for folder in sorted(path for path in jobs if path.is_dir()):
            locks.enter_context(locked(folder))
        files = sorted(_data(home), key=lambda path: path.name == "live.db")
        names = [str(path.relative_to(home)) for path in files]
        sums = {name: _copied(file, fresh / name) for name, file in zip(names, files, strict=True)}
    (fresh / CATALOGUE).write_text(json.dumps({"files": sums}, indent=1), encoding="utf-8")
    _free(to)  # whatever has come there meanwhile
    place_folder(fresh, to)
    return len(sums)


def restore(source: Path, home: Path) -> int:
    """Bring a backup back as a home, at its old path or another one.

    Returns:
        How many files were copied.

    Raises:
        BackupError: the backup is not whole, a database of it is damaged, or something is in the way.
    """
    try:
        sums: dict[str, str] = json.loads((source / CATALOGUE).read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(
            f"{source} is not a backup: {error}.", fix="name a folder that propensity backup made"
        ) from error
    for name, expected in sums.items():
        file = source / name
        if not file.resolve().is_relative_to(source) or not file.is_file() or _sum(file) != expected:
            raise BackupError(f"{file} is missing, or is not what was copied.", fix="take another backup")
    elsewhere = "set PROPENSITY_HOME to a folder that is not there, or is empty"
    _free(home, elsewhere)
    fresh = _unfinished(home)
    for name, expected in sums.items():
        if _copied(source / name, fresh / name, plain=True) != expected:
            raise BackupError(f"{fresh / name} is not what the backup holds.", fix="check the disk, and try again")
        if name.endswith(".db"):
            _check(fresh / name)
    _free(home, elsewhere)  # whatever has come there meanwhile
    place_folder(fresh, home)
    return len(sums)


def _free(place: Path, fix: str = "name a folder that is not there, or is empty") -> None:
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise BackupError(f"{place} is there already.", fix=fix)


def _unfinished(place: Path) -> Path:
    """A new folder beside a place, for what will be there; what a run before has left of it is removed."""
    fresh = place.with_name(f".{place.name}.unfinished")
    shutil.rmtree(fresh, ignore_errors=True)
    new_folder(fresh, mode=0o700)
    return fresh


def _data(home: Path) -> Iterator[Path]:
    """The files of a home, but for those that a job is writing, or had not finished when it was killed."""
    for parent, folders, names in os.walk(home, onerror=_unless_gone):
        place = Path(parent).relative_to(home)
        if place.parts:  # a folder for each definition is above
            below = Path(*place.parts[1:])
            folders[:] = [name for name in folders if not is_unfinished(below / name)]
        yield from (
            file
            for file in (Path(parent, name) for name in names)
            if not file.name.endswith(_LEFT_OUT) and file.is_file()
        )


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise BackupError(f"{error.filename} cannot be read: {error.strerror}.", fix="make it readable") from error


def _copied(file: Path, to: Path, *, plain: bool = False) -> str:
    """Copy a file and return its SHA-256; a database as its transactions left it."""
    to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not plain and _is_sqlite(file):
        try:
            with closing(sqlite3.connect(file, timeout=30)) as old, closing(sqlite3.connect(to)) as new:
                old.backup(new)
                new.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as error:
            raise BackupError(f"{file} cannot be copied: {error}.", fix="restore it from an earlier backup") from error
    else:
        shutil.copyfile(file, to)
    to.chmod(0o600)
    return _sum(to)


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(16) == b"SQLite format 3\x00"


def _check(file: Path) -> None:
    if not _is_sqlite(file):
        return  # Feast's registry
    try:
        with closing(sqlite3.connect(file)) as connection:
            [result] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        result = str(error)
    if result != "ok":
        raise BackupError(f"{file} is damaged: {result}.", fix="take another backup")


def _sum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
