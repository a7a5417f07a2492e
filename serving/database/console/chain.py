"""The chain of the log of actions: whether each row follows from the one before."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

import sqlalchemy as sa

from serving.database.console.actions import FIRST, chained
from serving.database.console.tables import actions
from serving.database.log.live_log import LiveLog

log = logging.getLogger("propensity")

#: rows that are in memory together
RUN = 1_000


@dataclass(frozen=True, slots=True)
class Checked:
    """How far the chain was checked.

    Attributes:
        broken: the number of the first row that does not follow; None where none was found.
        whole_at: when all rows were checked last; None before that.
        rows: how many were there then.
        newer: how many were added since and follow from them.
    """

    broken: int | None = None
    whole_at: int | None = None
    rows: int = 0
    newer: int = 0


class Chain:
    """Checks the log of actions: newer rows at each look, all rows when asked. Threads may share one.

    It begins with the newest row that is there. A change of rows before that is found by the check of all rows alone.

    Args:
        live: where the log is kept; its tables are there.
    """

    def __init__(self, live: LiveLog) -> None:
        self._live = live
        self._lock, self._whole = threading.Lock(), threading.Lock()
        self._found = Checked()
        newest = sa.select(actions.c.id, actions.c.hash).order_by(actions.c.id.desc()).limit(1)
        with live.reading() as connection:
            row = connection.execute(newest).first()
        self._last = (int(row.id), str(row.hash)) if row is not None else (0, FIRST)

    def newer(self) -> Checked:
        """Check that the row checked last is still there, and the rows that were added since."""
        with self._lock:
            if self._found.broken is None:
                broken, last, rows = self._follow(*self._last)
                self._found = replace(self._found, broken=broken, newer=self._found.newer + rows)
                self._last = last
            return self._found

    def whole(self, now: int) -> Checked:
        """Check all rows, one check at a time; looks at newer rows need not wait for it.

        Args:
            now: the instant.
        """
        with self._whole:
            broken, last, rows = self._follow(0, FIRST)
            with self._lock:
                self._found = Checked(broken, now, rows)
                if broken is None:
                    self._last = last
                return self._found

    def start(self, now: int) -> None:
        """Check all rows in the background.

        Args:
            now: the instant.
        """
        threading.Thread(target=self._in_background, args=(now,), name="log of actions", daemon=True).start()

    def _in_background(self, now: int) -> None:
        try:
            found = self.whole(now)
        except sa.exc.SQLAlchemyError as error:  # the page says that it was not checked, and offers to do it
            log.warning("the log of actions was not checked: %s", type(error).__name__)
            return
        if found.broken is not None:
            log.error("row %d of the log of actions does not follow from the one before", found.broken)

    def _follow(self, number: int, digest: str) -> tuple[int | None, tuple[int, str], int]:
        """Check the rows after one: the first that does not follow, the last that does, and how many do."""
        newer = sa.select(actions).where(actions.c.id > number).order_by(actions.c.id)
        with self._live.reading() as connection:
            if number and connection.scalar(sa.select(actions.c.hash).where(actions.c.id == number)) != digest:
                return number, (number, digest), 0
            with connection.execute(newer.execution_options(yield_per=RUN)) as rows:
                return _followed(rows, number, digest)


def _followed(
    rows: Iterable[sa.Row[tuple[object, ...]]], number: int, digest: str
) -> tuple[int | None, tuple[int, str], int]:
    count = 0
    for row in rows:
        fields = {name: getattr(row, name) for name in ("at", "who", "origin", "action", "subject", "detail")}
        if row.hash != chained(digest, fields):
            return int(row.id), (number, digest), count
        number, digest, count = int(row.id), row.hash, count + 1
    return None, (number, digest), count
