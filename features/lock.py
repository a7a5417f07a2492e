"""One job at a time in a folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import StoreError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder; the lock ends with the process, however it ends.

    Raises:
        StoreError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"another job is writing in {folder}.", fix="wait until it ends") from error
        yield
