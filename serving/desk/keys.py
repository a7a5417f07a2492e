"""Write keys and tokens: made here, shown once, kept as hashes."""

import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import sqlalchemy as sa

from features.errors import PropensityError, UnavailableError
from serving.database.log.live_log import LiveLog
from serving.database.tables import keys

log = logging.getLogger("propensity")

Role = Literal["write", "read", "admin", "viewer", "editor", "publisher", "privacy"]

#: what a key may do by HTTP: ``write`` may send events, ``read`` may ask, ``admin`` may ask and erase; the others are
#: for people, who sign in to the console with them
MAY: dict[Role, frozenset[Role]] = {
    "write": frozenset({"write"}),
    "read": frozenset({"read"}),
    "admin": frozenset({"read", "admin"}),
    **dict.fromkeys(("viewer", "editor", "publisher", "privacy"), frozenset()),
}

#: how long a running service goes on with the keys it knows, in seconds
REFRESH = 2.0


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept.

    Attributes:
        name: whose it is; limits are counted by it.
        role: what it may do.
        hash: SHA-256 of the secret, which has 256 random bits of its own and needs no slow hash.
        created, expires: instants; a key without the second one does not expire.
    """

    name: str
    role: Role
    hash: str
    created: int
    expires: int | None


def hash_of_secret(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def found_in(keys: Sequence[Key], secret: str) -> Key | None:
    """The key of a secret that still works, or None; every key is compared, in the same time wherever it differs."""
    digest, now = hash_of_secret(secret), time.time_ns() // 1_000
    found = None
    for key in keys:
        if hmac.compare_digest(key.hash, digest) and (key.expires is None or key.expires > now):
            found = key
    return found


class Keys:
    """The keys of a live log.

    Args:
        live: where they are kept.
    """

    def __init__(self, live: LiveLog) -> None:
        self._live = live

    def create(self, name: str, role: str) -> str:
        """Make a key and return its secret, which is nowhere else.

        Raises:
            PropensityError: there is a key of this name, or no such role.
        """
        if role not in get_args(Role):
            raise PropensityError(f"unknown role {role!r}.", fix=f"choose from {', '.join(get_args(Role))}")
        if any(key.name == name for key in self.all()):
            raise PropensityError(f"there is a key {name!r} already.", fix="choose another name, or rotate it")
        return self._add(name, role)

    def rotate(self, name: str, *, grace: int) -> str:
        """Make a new secret for a name; the old one goes on working for so many microseconds."""
        old = [key for key in self.all() if key.name == name]
        if not old:
            raise self._unknown(name)
        until = time.time_ns() // 1_000 + grace
        with self._live.writing() as connection:
            mine = (keys.c.name == name) & (keys.c.expires.is_(None) | (keys.c.expires > until))
            connection.execute(sa.update(keys).where(mine).values(expires=until))
        return self._add(name, old[-1].role)

    def revoke(self, name: str) -> int:
        """Remove all secrets of a name; returns how many there were."""
        with self._live.writing() as connection:
            gone = int(connection.execute(sa.delete(keys).where(keys.c.name == name)).rowcount)
        if not gone:
            raise self._unknown(name)
        return gone

    def all(self) -> list[Key]:
        """The keys that work, oldest first."""
        now = time.time_ns() // 1_000
        with self._live.reading() as connection:
            rows = connection.execute(sa.select(keys).order_by(keys.c.created, keys.c.hash)).all()
        return [Key(r.name, r.role, r.hash, r.created, r.expires) for r in rows if r.expires is None or r.expires > now]

    def _add(self, name: str, role: str) -> str:
        secret = f"{role}_{secrets.token_urlsafe(32)}"
        row = {"hash": hash_of_secret(secret), "name": name, "role": role, "created": time.time_ns() // 1_000}
        with self._live.writing() as connection:
            connection.execute(sa.insert(keys).values(row))
        return secret

    def _unknown(self, name: str) -> PropensityError:
        known = ", ".join(sorted({key.name for key in self.all()})) or "none"
        return PropensityError(f"there is no key {name!r}.", fix=f"the keys are: {known}")


class KeyRing:
    """The keys a running service knows; read again every few seconds, so that rotating needs no restart.

    Args:
        keys: where they are kept.
        more: keys from elsewhere, such as the environment.
    """

    def __init__(self, keys: Keys, more: Sequence[Key]) -> None:
        self._keys, self._more = keys, list(more)
        self._known = [*keys.all(), *self._more]
        self._closed = threading.Event()
        threading.Thread(target=self._refresh, name="keys", daemon=True).start()

    def find(self, secret: str) -> Key | None:
        """The key of a secret, or None; every key is compared, in the same time wherever it differs."""
        return found_in(self._known, secret)

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._known)

    def close(self) -> None:
        """Stop reading the keys again."""
        self._closed.set()

    def _refresh(self) -> None:
        while not self._closed.wait(REFRESH):
            try:
                self._known = [*self._keys.all(), *self._more]
            except UnavailableError as error:
                log.warning("going on with the keys known: %s", error)
