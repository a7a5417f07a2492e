"""Sessions of the console: who is signed in, until when, and as what."""

import hashlib
import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from features.time import DAY
from serving.database.console.tables import sessions
from serving.database.log.live_log import LiveLog

#: how long a session lasts, in microseconds: a working day
LASTS = DAY // 2


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in.

    Attributes:
        name: who it is: the name of a key, or of a person.
        roles: what they are.
        csrf: what every form must send back, so that no other site can send it.
        key_hash: of the key they signed in with; None where they did otherwise.
    """

    name: str
    roles: frozenset[str]
    csrf: str
    key_hash: str | None


class Sessions:
    """The sessions of a live log.

    Args:
        live: where they are kept.
    """

    def __init__(self, live: LiveLog) -> None:
        self._live = live

    def start(self, name: str, roles: Collection[str], now: int, *, key_hash: str | None = None) -> tuple[str, Session]:
        """Start a session; sessions that are over are removed.

        Args:
            name: who it is.
            roles: what they are.
            now: the instant.
            key_hash: of the key they showed; the session ends with the key.

        Returns:
            What the cookie holds, which is nowhere else; and the session.
        """
        cookie, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        row = {"hash": _hash(cookie), "name": name, "roles": json.dumps(sorted(roles)), "key_hash": key_hash,
               "csrf": csrf, "created": now, "expires": now + LASTS}  # fmt: skip
        with self._live.writing() as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.expires <= now))
            connection.execute(sa.insert(sessions).values(row))
        return cookie, Session(name, frozenset(roles), csrf, key_hash)

    def find(self, cookie: str, now: int) -> Session | None:
        """The session of a cookie; None where there is none, or it is over."""
        asked = sa.select(sessions).where((sessions.c.hash == _hash(cookie)) & (sessions.c.expires > now))
        with self._live.reading() as connection:
            row = connection.execute(asked).first()
        if row is None:
            return None
        return Session(row.name, frozenset(json.loads(row.roles)), row.csrf, row.key_hash)

    def end(self, cookie: str) -> None:
        """End a session."""
        with self._live.writing() as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.hash == _hash(cookie)))


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
