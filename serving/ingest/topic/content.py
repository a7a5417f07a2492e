"""What a message of a topic holds: messages of the tracking API, or why it holds none."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from features.reading.live_messages import Message, read_time
from serving.database.log.dead_letters import DeadLetter
from serving.ingest.topic.consumer import Record
from serving.ingest.tracking import DEPTH, MESSAGE_BYTES, Tracking


@dataclass(frozen=True, slots=True)
class Content:
    """What messages of a topic hold.

    Attributes:
        messages: those of the tracking API.
        merges: what messages with two ids say of these; no messages of their own.
        letters: what is refused, with its place in the topic.
        not_kept: how many more were refused.
        empty: how many messages of the topic were tombstones.
    """

    messages: list[Message]
    merges: list[Message]
    letters: list[DeadLetter]
    not_kept: int
    empty: int


def content_of(records: list[Record], topic: str, tracking: Tracking, now: int) -> Content:
    """Read messages of a topic.

    A message happened at the latest when it arrived at what wrote it to the topic: at its ``receivedAt``, or else at
    the time of the topic's message. It became known now. Without a ``messageId`` its id is its place and time in the
    topic, the same whenever it is read again.

    Args:
        records: the messages.
        topic: the topic's name.
        tracking: reads messages of the tracking API.
        now: when they are read.
    """
    messages: list[Message] = []
    merges: list[Message] = []
    letters: list[DeadLetter] = []
    not_kept = 0
    full = [record for record in records if record.value is not None]
    for record in full:
        place = _place_of(record, topic)
        try:
            body = json.loads(record.value or b"")
        except (ValueError, RecursionError) as error:
            letters.append(_unreadable(record, topic, error, now))
            continue
        given = body if isinstance(body, Mapping) else {}
        batch = given.get("batch")
        items = batch if isinstance(batch, list) else [body]
        arrived = min(_arrived(given, record, now), now)
        named = [_with_id(item, _id_of(record, topic, at)) for at, item in enumerate(items)]
        read = tracking.read(named, kind=None, sent=given.get("sentAt"), received=arrived)
        messages += [replace(message, received=now) for _, message in read.messages]
        merges += [replace(message, received=now) for message in read.merges]
        letters += [replace(one, received=now, reason=f"{place}: {one.reason}") for _, one in read.refused]
        not_kept += read.not_kept
    return Content(messages, merges, letters, not_kept, len(records) - len(full))


def nothing_of(record: Record, topic: str, why: str, now: int) -> Content:
    """Of a message that the live log's database cannot hold, where it is and why."""
    letter = DeadLetter(
        "ingest", "not_storable", f"{_place_of(record, topic)}: {why}", "", now, _id_of(record, topic, 0)
    )
    return Content([], [], [letter], 0, 0)


def _place_of(record: Record, topic: str) -> str:
    return f"topic {topic}, partition {record.partition}, offset {record.offset}"


def _arrived(given: Mapping[str, object], record: Record, now: int) -> int:
    received = read_time(given.get("receivedAt"))
    if received is not None:
        return received
    return record.time * 1_000 if record.time >= 0 else now


def _id_of(record: Record, topic: str, at: int) -> str:
    """The id of a message that has none; another topic of the same name has other times."""
    return f"kafka/{topic[:180]}/{record.partition}/{record.offset}/{record.time}" + (f"/{at}" if at else "")


def _with_id(item: object, number: str) -> object:
    if not isinstance(item, dict):
        return item
    given = item.get("messageId")
    missing = given is None or (isinstance(given, str) and not given.strip())
    return item | {"messageId": number} if missing else item


def _unreadable(record: Record, topic: str, error: Exception, now: int) -> DeadLetter:
    """The letter of a message that is no JSON, with as much of it as is text."""
    deep = isinstance(error, RecursionError)
    why = f"it is nested more than {DEPTH} deep" if deep else f"it is not JSON: {error}"
    text = (record.value or b"")[:MESSAGE_BYTES].decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    reason = f"{_place_of(record, topic)}: {why}"
    return DeadLetter("ingest", "too_deep" if deep else "not_json", reason, text, now, _id_of(record, topic, 0))
