"""Whether a database file that is open is still the one in its place."""

import time
from pathlib import Path

from features.errors import UnavailableError

#: seconds between two looks at the file by those who only read: each look makes a busy process's threads take turns
PAUSE = 0.1


class SameFile:
    """Notices that another file has taken the place of one that is open, or that it is gone.

    SQLite goes on with the file that it has opened. After a restore, that is one that nobody reads any more: what is
    written to it is lost, and what is read from it is old.

    Args:
        path: the file, which is open; one that is not there is in memory, and is not looked at.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._was = path, _identity(path)
        self._looked = time.monotonic()

    def check_reading(self) -> None:
        """Look at the file in the place, unless somebody has a moment ago: what is read may be so old.

        Raises:
            UnavailableError: as for `check`.
        """
        if time.monotonic() - self._looked >= PAUSE:
            self.check()

    def check(self) -> None:
        """Look at the file in the place, before anything is written.

        Raises:
            UnavailableError: it is another one.
        """
        if self._was is not None and _identity(self._path) != self._was:
            raise UnavailableError(
                f"{self._path} was replaced, moved or removed while this process had it open.",
                fix="stop the service and its workers, and start them again; where this file alone was replaced, "
                "remove its -wal and -shm while they are stopped, and put the file there once more",
            )
        self._looked = time.monotonic()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
