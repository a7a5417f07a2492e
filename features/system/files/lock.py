"""One job at a time in a folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import UnavailableError
from features.system.files.durable import new_folder


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder; the lock ends with the process, however it ends.

    Raises:
        UnavailableError: another process holds it, and we do not wait.
    """
    new_folder(folder)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise UnavailableError(f"another job is writing in {folder}.", fix="wait until it ends") from error
        yield


@contextmanager
def sharing(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """Read a folder's users and write of them, beside others who do; or be the only one, as who erases must be.

    Raises:
        UnavailableError: somebody is alone there; or somebody is not, when it is to be had alone.
    """
    new_folder(folder)
    with held(folder, alone=alone) as granted:
        if not granted:
            what = "a job works with the users in" if alone else "users are being erased in"
            raise UnavailableError(f"{what} {folder}.", fix="wait until that ends")
        yield


@contextmanager
def held(folder: Path, *, alone: bool = False) -> Iterator[bool]:
    """Share a folder with other readers, or ask whether nobody reads: true when it was granted."""
    with (folder / ".readers").open("w") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
