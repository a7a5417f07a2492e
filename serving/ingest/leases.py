"""Who folds which users: shards held for a few seconds at a time, shared out evenly among the workers there are."""

import time

import sqlalchemy as sa

from serving.database.log.live_log import LiveLog
from serving.database.tables import SHARDS, insert, shards, workers

#: how long a shard is held without being renewed; who dies is replaced after it
HELD = 6_000_000
RENEW = 1.5


class Leases:
    """The shards one worker holds.

    Args:
        log: where they are kept.
        holder: the worker's name, unlike any other's.
    """

    def __init__(self, log: LiveLog, holder: str) -> None:
        self._log, self._holder = log, holder
        self._mine: list[int] = []
        self._renewed = -RENEW

    def mine(self) -> list[int]:
        """The shards to work on now; renewed when it is time.

        Two workers may for a moment hold the same shard: profiles are exchanged only for what was made of them, so
        that this costs time and nothing else.
        """
        if time.monotonic() - self._renewed >= RENEW:
            self._mine = self._renew(time.time_ns() // 1_000)
            self._renewed = time.monotonic()
        return self._mine

    def give_back(self) -> None:
        """Let others have them at once."""
        with self._log.writing() as connection:
            connection.execute(sa.delete(workers).where(workers.c.holder == self._holder))
            connection.execute(sa.update(shards).where(shards.c.holder == self._holder).values(until=0))
        self._mine = []

    def _renew(self, now: int) -> list[int]:
        until = now + HELD
        with self._log.writing() as connection:
            seen = insert(workers, connection).values(holder=self._holder, until=until)
            connection.execute(seen.on_conflict_do_update(index_elements=["holder"], set_={"until": until}))
            connection.execute(sa.delete(workers).where(workers.c.until < now))
            fair = -(-SHARDS // max(connection.scalar(sa.select(sa.func.count()).select_from(workers)) or 1, 1))
            # locked in order, so that two that renew at once wait for, and do not stop, each other
            rows = connection.execute(sa.select(shards).order_by(shards.c.shard).with_for_update()).all()
            held = [row.shard for row in rows if row.holder == self._holder and row.until >= now]
            free = [row.shard for row in rows if row.until < now and row.shard not in held]
            mine, spare = sorted((held + free)[:fair]), held[fair:]
            take = sa.update(shards).where(shards.c.shard.in_(mine)).values(holder=self._holder, until=until)
            connection.execute(take)
            connection.execute(sa.update(shards).where(shards.c.shard.in_(spare)).values(until=0))
        return mine


def living(log: LiveLog) -> int:
    """How many workers there are, in whatever process: those that have renewed what they hold."""
    there = sa.select(sa.func.count()).select_from(workers).where(workers.c.until >= time.time_ns() // 1_000)
    with log.reading() as connection:
        return int(connection.scalar(there) or 0)
