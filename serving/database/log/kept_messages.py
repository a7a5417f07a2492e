"""Messages of the live log, read; and its database's transactions."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from features.reading.live_messages import ALIAS, Message
from serving.database.erasure import erased_among, rows_of
from serving.database.failures import reached
from serving.database.log.dead_letters import DeadLetter
from serving.database.log.log_state import LogState
from serving.database.log.message_rows import message_of
from serving.database.tables import chunks, dead, events, log_state, sqlite_file


class KeptMessages:
    """What is kept in a live log.

    Args:
        engine: its database.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    @property
    def file(self) -> Path | None:
        """The database's file; None where a server has it."""
        url = self.engine.url
        return sqlite_file(url) if url.get_backend_name() == "sqlite" else None

    def close(self) -> None:
        """Close the connections that are open; one that is in use is closed when it comes back."""
        # after this the pool is nobody's: it would keep what comes back until it is collected as garbage
        sa.event.listen(self.engine.pool, "checkin", lambda _, record: record.invalidate())
        self.engine.dispose()

    def tail(self, since: Mapping[int, int], limit: int) -> list[Message]:
        """The next messages of some shards, in order.

        Args:
            since: of each shard, the position after which to begin.
            limit: how many at most.
        """
        if not since:
            return []
        wanted = [sa.and_(events.c.shard == shard, events.c.position > position) for shard, position in since.items()]
        return self._read(sa.select(events).where(sa.or_(*wanted)).order_by(events.c.position).limit(limit))

    def of_users(self, users: Collection[str], *, since: int = 0) -> list[Message]:
        """All messages of users after a position, in order."""
        if not users:
            return []
        found: list[Message] = []
        for some in chunks(list(users)):
            mine = events.c.user_id.in_(some) & (events.c.position > since)
            found += self._read(sa.select(events).where(mine))
        return sorted(found, key=lambda message: message.position)

    def between(self, since: int, through: int, limit: int) -> list[Message]:
        """Messages with positions in ``(since, through]``, in order, the first ``limit`` of them."""
        here = (events.c.position > since) & (events.c.position <= through)
        return self._read(sa.select(events).where(here).order_by(events.c.position).limit(limit))

    def merges_after(self, since: int) -> list[Message]:
        """All messages after a position that say that an id is another user's, in order."""
        here = (events.c.kind == ALIAS) & (events.c.position > since)
        return self._read(sa.select(events).where(here).order_by(events.c.position))

    def last(self) -> int:
        """The highest position ever given; 0 where nothing was ever appended."""
        with self.reading() as connection:
            return int(connection.scalar(sa.select(log_state.c.position)) or 0)

    def waiting(self, since: int) -> int:
        """How many messages there are after a position."""
        with self.reading() as connection:
            counted = sa.select(sa.func.count()).where(events.c.position > since)
            return int(connection.scalar(counted) or 0)

    def users_after(self, since: int) -> list[str]:
        """Users with messages after a position."""
        with self.reading() as connection:
            return list(connection.scalars(sa.select(events.c.user_id).where(events.c.position > since).distinct()))

    def state(self) -> LogState:
        """Which log this is, and how far it has come."""
        with self.reading() as connection:
            return LogState.read(connection)

    def span(self) -> tuple[int, int] | None:
        """When the oldest and the newest message that are here arrived, or None."""
        orders = (events.c.position, events.c.position.desc())
        ends = [sa.select(events.c.received).order_by(order).limit(1) for order in orders]
        with self.reading() as connection:
            found = [connection.scalar(end) for end in ends]
        return (found[0], found[1]) if found[0] is not None and found[1] is not None else None

    def touched(self, since: int, after: str, limit: int) -> list[str]:
        """Users with messages that arrived since an instant, ascending, those after a name."""
        asked = (events.c.received >= since) & (events.c.user_id > after)
        with self.reading() as connection:
            chosen = sa.select(events.c.user_id).where(asked).distinct().order_by(events.c.user_id).limit(limit)
            return list(connection.scalars(chosen))

    def dead_letters(self, *, since: int = 0, limit: int = 1_000) -> list[DeadLetter]:
        """Messages that were not taken and not replayed since, oldest first."""
        asked = sa.select(dead).where((dead.c.id > since) & dead.c.replayed.is_(False)).order_by(dead.c.id).limit(limit)
        with self.reading() as connection:
            rows = connection.execute(asked).all()
        return [DeadLetter(r.stage, r.code, r.reason, r.body, r.received, r.message_id, r.user_id, r.id) for r in rows]

    def rows_of(self, users: Sequence[str]) -> dict[str, int]:
        """How many rows of users there are, by table, in all that is kept beside the log too."""
        with self.reading() as connection:
            return rows_of(connection, users)

    def erased(self, users: Sequence[str]) -> set[str]:
        """Those of some users who were erased."""
        with self.reading() as connection:
            return erased_among(connection, users)

    def _read(self, query: sa.Select[Any]) -> list[Message]:
        with self.reading() as connection:
            rows = connection.execute(query).all()
        return [message_of(row) for row in rows]

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that holds up nobody."""
        with reached(self.engine.url.username), self.engine.connect().execution_options(reading=True) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction; commit it at the end, or roll it back after an exception."""
        with reached(self.engine.url.username), self.engine.begin() as connection:
            yield connection
