"""Where a topic is read on: at the offsets that the live log holds, where the topic still has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from features.errors import TopicError
from serving.database.log.live_log import LiveLog
from serving.database.topics import Position, begin, positions, restart
from serving.ingest.topic.consumer import Record, Topic

Start = Literal["earliest", "latest"]

_FIX = (
    "propensity kafka restart reads on from what the topic has; events that it has no longer come from another source"
)


@dataclass(frozen=True, slots=True)
class Partition:
    """How far a partition is read, beside what it holds.

    Attributes:
        number: the partition.
        next: the offset of the next message to read; None where it was never opened.
        begins, ends: the offsets of the first message that it still has, and of the next one that it will get.
    """

    number: int
    next: int | None
    begins: int
    ends: int

    @property
    def lost(self) -> int:
        """How many offsets are gone that were never read."""
        return max(self.begins - self.next, 0) if self.next is not None else 0


def partitions_of(topic: Topic, live: LiveLog) -> list[Partition]:
    """How far each partition of a topic is read.

    Raises:
        UnavailableError: the brokers or the live log do not answer.
        TopicError: the topic is not there, or may not be read.
    """
    known = positions(live, topic.name)
    return [
        Partition(number, known[number].next if number in known else None, *topic.ends(number))
        for number in topic.partitions()
    ]


def opened(topic: Topic, live: LiveLog, start: Start) -> dict[int, Position]:
    """Where a topic is read on; partitions that are new begin here.

    The first reading begins where ``start`` says. A partition that was added later begins with its first message.

    Raises:
        UnavailableError: the brokers or the live log do not answer.
        TopicError: the topic no longer has what comes next, or is another one.
    """
    found = partitions_of(topic, live)
    known = positions(live, topic.name)
    for one in found:
        if one.lost:
            raise TopicError(
                f"{topic.name!r} no longer has {one.lost:,} messages of partition {one.number} that were not read: "
                f"offsets {one.next} to {one.begins - 1}. They were removed before the worker came to them.",
                fix=_FIX,
            )
        if one.next is not None and one.next > one.ends:
            raise TopicError(
                f"partition {one.number} of {topic.name!r} ends at offset {one.ends}, and was read through "
                f"{one.next - 1}: it is another topic, or has lost its end.",
                fix=_FIX,
            )
    if missing := sorted(known.keys() - {one.number for one in found}):
        raise TopicError(f"{topic.name!r} has no partition {missing[0]} any more: it is another topic.", fix=_FIX)
    latest = start == "latest" and not known
    begin(live, topic.name, {p.number: Position(p.ends if latest else p.begins) for p in found if p.next is None})
    now = positions(live, topic.name)
    # one message before the next, where it is still there, shows that the topic is the one that was read
    topic.read_from({p.number: _with_last(now[p.number], p.begins) for p in found})
    return now


def restarted(topic: Topic, live: LiveLog, start: Start) -> list[Partition]:
    """Read a topic from its beginning or its end from now on; what is there again is known by its id.

    Returns:
        The partitions as they were before.
    """
    before = partitions_of(topic, live)
    restart(live, topic.name, {p.number: Position(p.begins if start == "earliest" else p.ends) for p in before})
    return before


def moved_on(
    topic: str, at: Mapping[int, Position], records: list[Record], ends: Mapping[int, int]
) -> tuple[list[Record], dict[int, Position]]:
    """The messages that are new, and where their partitions are after them.

    Args:
        topic: the topic's name.
        at: where partitions are.
        records: messages that came, with the last one before each position, where it was still there.
        ends: the offsets at which partitions end for now; behind the newest message may be marks of transactions.

    Raises:
        TopicError: what lies before a position is not what was read.
    """
    new: list[Record] = []
    after: dict[int, Position] = {}
    for record in records:
        now = after.get(record.partition, at[record.partition])
        if record.offset >= now.next:
            new.append(record)
            after[record.partition] = Position(record.offset + 1, record.offset, record.time, record.size)
        elif (record.offset, record.time, record.size) != (now.last, now.time, now.size):
            raise TopicError(
                f"offset {record.offset} of partition {record.partition} of {topic!r} holds another message than was "
                "read there: it is another topic of this name, or has lost its end.",
                fix=_FIX,
            )
    for partition, end in ends.items():
        now = after.get(partition, at[partition])
        if end > now.next:
            after[partition] = Position(end, now.last, now.time, now.size)
    return new, after


def _with_last(position: Position, begins: int) -> int:
    return position.last if position.last >= begins else position.next
