"""Logins: who was sent to a provider to sign in, and has not come back yet."""

import hashlib
import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from features.time import MINUTE
from serving.database.console.tables import logins
from serving.database.log.live_log import LiveLog

#: how long somebody may take at the provider, in microseconds
LASTS = 10 * MINUTE

#: how many are kept, the newest; anybody can begin one, without being known
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody on the way to sign in.

    Attributes:
        nonce: what the provider's token must repeat.
        verifier: what is shown with the provider's code, so that nobody else can use the code.
        onward: the page that was asked for.
    """

    nonce: str
    verifier: str
    onward: str


class Logins:
    """The logins of a live log.

    Args:
        live: where they are kept.
    """

    def __init__(self, live: LiveLog) -> None:
        self._live = live

    def start(self, onward: str, now: int) -> tuple[str, str, Login]:
        """Start a login; those that are over are removed.

        Args:
            onward: the page that was asked for.
            now: the instant.

        Returns:
            The state that must come back, what the browser keeps in a cookie, both of which are nowhere else; and the
            login.
        """
        state, browser = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        login = Login(secrets.token_urlsafe(32), secrets.token_urlsafe(48), onward)
        row = {"state_hash": _hash(state), "browser_hash": _hash(browser), "nonce": login.nonce,
               "verifier": login.verifier, "onward": onward, "expires": now + LASTS}  # fmt: skip
        newest = sa.select(logins.c.expires).order_by(logins.c.expires.desc()).offset(MOST - 1).limit(1)
        with self._live.writing() as connection:
            oldest = max(now, connection.scalar(newest) or 0)
            connection.execute(sa.delete(logins).where(logins.c.expires <= oldest))
            connection.execute(sa.insert(logins).values(row))
        return state, browser, login

    def take(self, state: str, browser: str, now: int) -> Login | None:
        """The login of a state, which is over with that.

        Args:
            state: what came back.
            browser: what the browser kept.
            now: the instant.

        Returns:
            None where there is no such login in this browser, it was taken before, or is too old.
        """
        mine = (logins.c.state_hash == _hash(state)) & (logins.c.browser_hash == _hash(browser))
        with self._live.writing() as connection:
            row = connection.execute(sa.delete(logins).where(mine).returning(logins)).first()
        if row is None or row.expires <= now:
            return None
        return Login(row.nonce, row.verifier, row.onward)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
