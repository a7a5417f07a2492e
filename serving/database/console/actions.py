"""The log of actions: who changed, erased or exported what; rows are chained by hash, so that a change shows."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from features.events.tombstones import digest_of
from serving.database.console.tables import actions, make_tables
from serving.database.log.live_log import LiveLog
from serving.database.tables import one_at_a_time

#: the hash before the first row
FIRST = "0" * 64


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody did.

    Attributes:
        id: its number.
        at: when.
        who: the name of a key or a person.
        origin: from where: an address, or `command line`.
        action: such as ``erase`` or ``publish``.
        subject: what it was done to; of an erased user the digest of the id, which says nothing about them.
        detail: more of it, such as counts.
        hash: SHA-256 of the hash before and of all that stands here.
    """

    id: int
    at: int
    who: str
    origin: str
    action: str
    subject: str
    detail: Mapping[str, object]
    hash: str


class Actions:
    """The log of actions of a live log.

    Args:
        live: where it is kept.
    """

    def __init__(self, live: LiveLog) -> None:
        self._live = live
        make_tables(live)

    def add(
        self, at: int, who: str, origin: str, action: str, subject: str, detail: Mapping[str, object] | None = None
    ) -> None:
        """Write down what somebody did.

        Args:
            at: when.
            who: the name of a key or a person.
            origin: from where.
            action: what, in one word.
            subject: what it was done to.
            detail: more of it; what JSON can hold.
        """
        content = json.dumps(detail or {}, ensure_ascii=False, sort_keys=True)
        newest = sa.select(actions.c.hash).order_by(actions.c.id.desc()).limit(1)
        with self._live.writing() as connection:
            one_at_a_time(connection)
            before = connection.scalar(newest) or FIRST
            row = {"at": at, "who": who, "origin": origin, "action": action, "subject": subject, "detail": content}
            connection.execute(sa.insert(actions).values(**row, hash=chained(before, row)))

    def erased(
        self, at: int, who: str, origin: str, users: Sequence[str], removed: Mapping[str, int], left: Mapping[str, int]
    ) -> None:
        """Write down that users were erased: digests of their ids, and how many rows went and are still there."""
        counts = {"removed": sum(removed.values()), "left": sum(left.values())}
        for user in users:
            self.add(at, who, origin, "erase", f"user {digest_of(user)[:16]}", counts)

    def page(self, *, before: int | None = None, limit: int = 100) -> list[Action]:
        """Actions, the newest first.

        Args:
            before: only those with a lower number.
            limit: how many at most.
        """
        asked = sa.select(actions).order_by(actions.c.id.desc()).limit(limit)
        if before is not None:
            asked = asked.where(actions.c.id < before)
        with self._live.reading() as connection:
            return [_action(row) for row in connection.execute(asked)]

    def all(self) -> list[Action]:
        """All actions, the oldest first."""
        with self._live.reading() as connection:
            return [_action(row) for row in connection.execute(sa.select(actions).order_by(actions.c.id))]


def chained(before: str, row: Mapping[str, object]) -> str:
    """The hash of a row.

    Args:
        before: that of the row before; `FIRST` before the first.
        row: its fields but for number and hash.
    """
    return hashlib.sha256(json.dumps([before, row], ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _action(row: sa.Row[tuple[object, ...]]) -> Action:
    return Action(row.id, row.at, row.who, row.origin, row.action, row.subject, json.loads(row.detail), row.hash)
