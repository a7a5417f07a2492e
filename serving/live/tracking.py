"""Messages as Segment's HTTP tracking API describes them, read one by one: taken, or refused with the reason.

Source: the public specification of the HTTP Tracking API and its common fields (``messageId``, ``timestamp``,
``sentAt``, ``originalTimestamp``, ``userId``, ``anonymousId``).
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from features.log.messages import IDENTIFY, TRACK, LogColumns, Message, read_time
from features.time import to_datetime
from features.user_id import SPACE, UserIdError
from serving.live.log import DeadLetter

#: bytes of one message, and of the body of a batch
MESSAGE_BYTES = 32_000
BATCH_BYTES = 500_000

#: what the specification knows and we take; pages and screens are events of these names
_EVENTS = {"page": "page", "screen": "screen"}
_LONGEST = 256


@dataclass(frozen=True, slots=True)
class Read:
    """What became of the messages of a request.

    Attributes:
        messages: those that can be taken, with their places in the request.
        refused: the others.
    """

    messages: list[tuple[int, Message]]
    refused: list[tuple[int, DeadLetter]]


class Tracking:
    """Reads messages for a definition's log.

    Args:
        columns: the log's columns; properties that signals read must fit them.
    """

    def __init__(self, columns: LogColumns) -> None:
        self._columns = columns

    def read(self, items: list[object], *, kind: str | None, sent: object, received: int) -> Read:
        """Read the messages of a request.

        Args:
            items: the messages, as JSON.
            kind: ``track``, ``identify``, ``page`` or ``screen`` for all; None where each says it by ``type``.
            sent: the request's ``sentAt``; a message's own goes before it.
            received: when the request came.
        """
        read = Read([], [])
        for at, item in enumerate(items):
            try:
                read.messages.append((at, self._message(item, kind, sent, received)))
            except _RefusedError as refused:
                read.refused.append((at, _letter(item, refused, kind, sent, received)))
        return read

    def _message(self, item: object, kind: str | None, sent: object, received: int) -> Message:
        if not isinstance(item, Mapping):
            raise _RefusedError("not_an_object", f"a message is {type(item).__name__}, not an object")
        size = len(json.dumps(item).encode())
        if size > MESSAGE_BYTES:
            raise _RefusedError("too_large", f"a message of {size:,} bytes; at most {MESSAGE_BYTES:,} are taken")
        kind = kind or item.get("type")
        if kind not in (TRACK, IDENTIFY, *_EVENTS):
            raise _RefusedError("unknown_type", f"type {kind!r:.60}; track, identify, page and screen are taken")
        user = self._user(item)
        body = item.get("traits" if kind == IDENTIFY else "properties")
        if body is None:
            body = {}
        if not isinstance(body, dict):
            raise _RefusedError("not_an_object", f"{'traits' if kind == IDENTIFY else 'properties'} is no object")
        event = _EVENTS.get(kind, "") if kind != TRACK else _text(item, "event")
        if kind == TRACK and not event:
            raise _RefusedError("no_event", "a track message without 'event'")
        if kind in _EVENTS and isinstance(item.get("name"), str):
            body = {"name": item["name"]} | body
        if kind != IDENTIFY and (wrong := self._columns.problem(body)):
            raise _RefusedError("property", wrong)
        if not _is_text(json.dumps(body, ensure_ascii=False)):
            raise _RefusedError("not_text", "the body holds characters that are no text")
        return Message(
            id=_text(item, "messageId") or str(uuid.uuid4()),
            user=user,
            kind=IDENTIFY if kind == IDENTIFY else TRACK,
            event=event,
            t=happened(item, sent, received),
            received=received,
            body=body,
        )

    def _user(self, item: Mapping[str, object]) -> str:
        for key in ("userId", "anonymousId"):
            said = item.get(key)
            if said is None or (isinstance(said, str) and not said.strip(SPACE)):
                continue
            try:
                return self._columns.user_of(said)
            except UserIdError as error:
                raise _RefusedError("user_id", f"{key}: {error.message}") from error
        raise _RefusedError("no_user", "neither 'userId' nor 'anonymousId' says who")


def happened(item: Mapping[str, object], sent: object, received: int) -> int:
    """When something happened, by our clock.

    A device's clock may be wrong by years, but by the same amount when the thing happened and when the message was
    sent: ``timestamp = received + (originalTimestamp - sentAt)``. Nothing happens after it was received.
    """
    said = item.get("originalTimestamp", item.get("timestamp"))
    if said is None:
        return received
    original = read_time(said)
    if original is None:
        raise _RefusedError("timestamp", f"timestamp {said!r:.60} is no ISO time")
    sent_at = item.get("sentAt", sent)
    if sent_at is not None:
        instant = read_time(sent_at)
        if instant is None:
            raise _RefusedError("timestamp", f"sentAt {sent_at!r:.60} is no ISO time")
        original += received - instant
    return max(min(original, received), 0)


def as_sent(message: Message) -> str:
    """A message in the form in which it can be sent again."""
    said: dict[str, object] = {"type": message.kind, "messageId": message.id, "userId": message.user,
            "timestamp": to_datetime(message.t).isoformat()}  # fmt: skip
    said |= {"event": message.event, "properties": message.body} if message.event else {"traits": message.body}
    return json.dumps(said)


class _RefusedError(Exception):
    """A message is not taken."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def _text(item: Mapping[str, object], key: str) -> str:
    """A short text of a message; numbers are text too, as SDKs send ids."""
    value = item.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _RefusedError("not_text", f"{key} is {type(value).__name__}, not text")
    text = str(value).strip()
    if len(text) > _LONGEST:
        raise _RefusedError("too_large", f"{key} has {len(text):,} characters; at most {_LONGEST} are taken")
    if "\x00" in text or not _is_text(text):
        raise _RefusedError("not_text", f"{key} holds characters that are no text")
    return text


def _letter(item: object, refused: _RefusedError, kind: str | None, sent: object, received: int) -> DeadLetter:
    """Keep a refused message, as far as it can be kept, with what the request said of it."""
    said = item if isinstance(item, Mapping) else {}
    if said:
        item = {key: value for key, value in (("type", kind), ("sentAt", sent)) if value is not None} | dict(said)
    ids = [value if isinstance(value := said.get(key), str) else None for key in ("messageId", "userId", "anonymousId")]
    body = json.dumps(item)[:MESSAGE_BYTES]
    known = [None if text is None else _plain(text)[:_LONGEST] for text in ids]
    return DeadLetter("ingest", refused.code, str(refused), body, received, known[0], known[1] or known[2])


def _is_text(text: str) -> bool:
    """Whether it can be written down: half a character cannot."""
    return not any(0xD800 <= ord(c) < 0xE000 for c in text)


def _plain(text: str) -> str:
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
