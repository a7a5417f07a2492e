"""How far topics of Kafka are read: offsets that move in the transaction that appends what was read."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from serving.database.log.live_log import LiveLog
from serving.database.tables import insert
from serving.database.tables import topic_offsets as offsets
from serving.database.tables import topic_readers as readers

#: how long a topic is held without being renewed, in microseconds, and how often it is renewed, in seconds
HELD, RENEW = 6_000_000, 1.5


class OvertakenError(Exception):
    """Somebody else has read these messages; nothing was appended."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition is read.

    Attributes:
        next: the offset of the next message to read.
        last: the offset of the last message that was read; -1 where none was.
        time, size: when that one was written to the topic, in milliseconds, and its size in bytes.
    """

    next: int
    last: int = -1
    time: int = -1
    size: int = -1


def positions(live: LiveLog, topic: str) -> dict[int, Position]:
    """How far each partition of a topic is read; those that were never opened are not there."""
    with live.reading() as connection:
        rows = connection.execute(sa.select(offsets).where(offsets.c.topic == topic)).all()
    return {row.partition: Position(row.next, row.last, row.time, row.size) for row in rows}


def begin(live: LiveLog, topic: str, first: Mapping[int, Position]) -> None:
    """Keep where the reading of partitions begins; what somebody else has kept meanwhile stays."""
    if first:
        with live.writing() as connection:
            connection.execute(insert(offsets, connection).on_conflict_do_nothing(), _rows(topic, first))


def restart(live: LiveLog, topic: str, at: Mapping[int, Position]) -> None:
    """Read a topic from other offsets from now on, whatever was kept of it."""
    with live.writing() as connection:
        connection.execute(sa.delete(offsets).where(offsets.c.topic == topic))
        connection.execute(sa.insert(offsets), _rows(topic, at))


def move(connection: sa.Connection, topic: str, before: Mapping[int, Position], after: Mapping[int, Position]) -> None:
    """Move partitions on, in the transaction that appends their messages.

    Args:
        connection: that transaction.
        topic: the topic.
        before: where they were when the messages were read.
        after: where they are now.

    Raises:
        OvertakenError: one of them is elsewhere.
    """
    for partition, position in sorted(after.items()):
        values = {"next": position.next, "last": position.last, "time": position.time, "size": position.size}
        mine = (offsets.c.topic == topic) & (offsets.c.partition == partition)
        there = mine & (offsets.c.next == before[partition].next) & (offsets.c.last == before[partition].last)
        if connection.execute(sa.update(offsets).where(there).values(values)).rowcount != 1:
            raise OvertakenError(f"partition {partition} of {topic} is no longer at {before[partition].next}")


class TopicLease:
    """Who reads a topic: one at a time, another one when it dies.

    Two that read at once for a moment cost time and nothing else: see `move`.

    Args:
        log: the live log beside which it is kept.
        topic: the topic.
        holder: the reader's name, unlike any other's.
    """

    def __init__(self, log: LiveLog, topic: str, holder: str) -> None:
        self._log, self._topic, self._holder = log, topic, holder
        self._held, self._renewed = False, -RENEW

    def mine(self) -> bool:
        """Whether to read now; renewed when it is time."""
        if time.monotonic() - self._renewed >= RENEW:
            self._held = self._renew(time.time_ns() // 1_000)
            self._renewed = time.monotonic()
        return self._held

    def give_back(self) -> None:
        """Let another one have it at once."""
        with self._log.writing() as connection:
            mine = (readers.c.topic == self._topic) & (readers.c.holder == self._holder)
            connection.execute(sa.delete(readers).where(mine))
        self._held = False

    def _renew(self, now: int) -> bool:
        with self._log.writing() as connection:
            held = {"holder": self._holder, "until": now + HELD}
            free = (readers.c.holder == self._holder) | (readers.c.until < now)
            take = insert(readers, connection).values(topic=self._topic, **held)
            connection.execute(take.on_conflict_do_update(index_elements=["topic"], set_=held, where=free))
            holder = connection.scalar(sa.select(readers.c.holder).where(readers.c.topic == self._topic))
        return bool(holder == self._holder)


def _rows(topic: str, at: Mapping[int, Position]) -> list[dict[str, object]]:
    return [
        {"topic": topic, "partition": partition, "next": p.next, "last": p.last, "time": p.time, "size": p.size}
        for partition, p in sorted(at.items())
    ]
