"""People whom a proxy has named within the hour: a client that keeps no cookies is not signed in with each request."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from features.time import HOUR
from serving.database.console.sessions import Session

#: people who are remembered; those who asked longest ago are forgotten first
MOST: Final = 10_000

#: a name and the roles that come with it
Person = tuple[str, frozenset[str]]


class Recent:
    """Remembers the session of each person for an hour; threads may share one.

    Args:
        find: the session of a cookie at an instant; None where it is over.
    """

    def __init__(self, find: Callable[[str, int], Session | None]) -> None:
        self._find = find
        self._lock = threading.Lock()
        self._kept: OrderedDict[Person, tuple[str, int]] = OrderedDict()

    def session(
        self, person: Person, now: int, start: Callable[[], tuple[str, Session]], write: Callable[[], None]
    ) -> tuple[str, Session]:
        """The cookie and the session of a person who shows no cookie.

        Args:
            person: who it is.
            now: the instant.
            start: starts a session, where none of the last hour goes on.
            write: writes down that they signed in; called once an hour at most.
        """
        with self._lock:  # of many requests at once one signs them in
            kept = self._kept.get(person)
            fresh = kept is not None and 0 <= now - kept[1] < HOUR
            if kept is not None and fresh and (session := self._find(kept[0], now)) is not None:
                return kept[0], session
            cookie, session = start()
            if kept is None or not fresh:
                write()
            self._kept[person] = (cookie, kept[1] if kept is not None and fresh else now)
            self._kept.move_to_end(person)
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)
            return cookie, session
