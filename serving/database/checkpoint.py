"""Moving a SQLite database's write-ahead log into it, so that nothing of what was removed stays beside it."""

import time
from collections.abc import Callable

#: seconds until it is tried again
_AGAIN = 0.05


def moved(truncate: Callable[[], object], seconds: float) -> bool:
    """Try until it is done.

    SQLite waits for readers and writers as long as its connection does, but says at once that it is busy where another
    connection moves the log at that moment.

    Args:
        truncate: executes ``PRAGMA wal_checkpoint(TRUNCATE)``; not 0 where it was busy.
        seconds: for so long.

    Returns:
        Whether it was done.
    """
    deadline = time.monotonic() + seconds
    while truncate():
        if time.monotonic() > deadline:
            return False
        time.sleep(_AGAIN)
    return True
