"""Messages as Segment's HTTP tracking API describes them, read one by one: taken, or refused with the reason.

Source: the public specification of the HTTP Tracking API and its common fields (``messageId``, ``timestamp``,
``sentAt``, ``originalTimestamp``, ``userId``, ``anonymousId``).
"""

import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from features.reading.live_messages import ALIAS, EXPLICIT, IDENTIFY, TRACK, LogColumns, Message, read_time
from features.time import to_datetime
from features.user_id import SPACE, UserIdError, is_unicode, user_id
from features.wrong_values import kind_of
from serving.database.log.dead_letters import DeadLetter
from serving.database.log.message_rows import digest_64

#: bytes of one message, and of the body of a batch
MESSAGE_BYTES = 32_000
BATCH_BYTES = 500_000

#: messages of a batch, and how many refused ones of a request are kept and listed one by one
MOST_MESSAGES, MOST_REFUSED = 2_500, 100

#: how deep a message's lists and objects may lie in one another: far from where Python's own recursion ends
DEPTH = 64

#: what the specification knows and we take; pages and screens are events of these names
_EVENTS = {"page": "page", "screen": "screen"}
_LONGEST = 256


@dataclass(frozen=True, slots=True)
class Read:
    """What became of the messages of a request.

    Attributes:
        messages: those that can be taken, with their places in the request.
        refused: the others, as many as are kept.
        not_kept: how many more were refused.
        merges: what messages with two ids say of these; no messages of their own.
    """

    messages: list[tuple[int, Message]]
    refused: list[tuple[int, DeadLetter]]
    not_kept: int
    merges: list[Message] = field(default_factory=list)


class Tracking:
    """Reads messages for a definition's log.

    Args:
        columns: the log's columns; properties that signals read must fit them.
    """

    def __init__(self, columns: LogColumns) -> None:
        self._columns = columns
        self._merges = columns.definition.identities is not None

    def read(self, items: list[object], *, kind: str | None, sent: object, received: int) -> Read:
        """Read the messages of a request.

        Args:
            items: the messages, as JSON.
            kind: ``track``, ``identify``, ``page``, ``screen`` or ``alias`` for all; None where each says it by
                ``type``.
            sent: the request's ``sentAt``; a message's own goes before it.
            received: when the request came.
        """
        messages: list[tuple[int, Message]] = []
        letters: list[tuple[int, DeadLetter]] = []
        merges: dict[str, Message] = {}
        for at, item in enumerate(items):
            try:
                messages.append((at, self._message(item, kind, sent, received)))
                if self._merges and (merge := self._both_ids(item, messages[-1][1])) is not None:
                    merges.setdefault(merge.id, merge)
            except _RefusedError as refused:
                if len(letters) < MOST_REFUSED:
                    letters.append((at, _letter(item, refused, kind, sent, received)))
        return Read(messages, letters, len(items) - len(messages) - len(letters), list(merges.values()))

    def _both_ids(self, item: object, message: Message) -> Message | None:
        """What a message with two ids says of them; its id is the same for the same pair, so that it is kept once."""
        other = item.get("anonymousId") if isinstance(item, Mapping) and message.kind != ALIAS else None
        try:
            alias = self._columns.user_of(other) if other is not None else message.user
        except UserIdError:
            return None  # the message is good; what else it names is no id
        if alias == message.user:
            return None
        pair = f"alias:{digest_64(json.dumps([alias, message.user])):x}"
        return replace(message, id=pair, kind=ALIAS, event=alias, body={}, stated=None)

    def _message(self, item: object, kind: str | None, sent: object, received: int) -> Message:
        if not isinstance(item, Mapping):
            raise _RefusedError("not_an_object", f"a message is {kind_of(item)}, not an object")
        if _deeper(item, DEPTH):
            raise _RefusedError("too_deep", f"a message nested more than {DEPTH} deep")
        size = len(json.dumps(item))
        if size > MESSAGE_BYTES:
            raise _RefusedError("too_large", f"a message of {size:,} bytes; at most {MESSAGE_BYTES:,} are allowed")
        kind = kind or item.get("type")
        if kind == ALIAS:
            return self._alias(item, sent, received)
        if kind not in (TRACK, IDENTIFY, *_EVENTS):
            reason = f"type {_shown(kind)}; track, identify, page, screen and alias are accepted"
            raise _RefusedError("unknown_type", reason)
        user = self._user(item)
        body = item.get("traits" if kind == IDENTIFY else "properties")
        if body is None:
            body = {}
        if not isinstance(body, dict):
            raise _RefusedError("not_an_object", f"{'traits' if kind == IDENTIFY else 'properties'} is not an object")
        event = _EVENTS.get(kind, "") if kind != TRACK else _text(item, "event")
        if kind == TRACK and not event:
            raise _RefusedError("no_event", "a track message without 'event'")
        if kind in _EVENTS and isinstance(item.get("name"), str):
            body = {"name": item["name"]} | body
        if kind != IDENTIFY and (wrong := self._columns.problem(body)):
            raise _RefusedError("property", wrong)
        if not is_unicode(json.dumps(body, ensure_ascii=False)):
            raise _RefusedError("not_text", "the body holds characters that are not valid Unicode")
        return Message(
            id=_text(item, "messageId") or str(uuid.uuid4()),
            user=user,
            kind=IDENTIFY if kind == IDENTIFY else TRACK,
            event=event,
            t=happened(item, sent, received),
            received=received,
            body=body,
            stated=stated(item),
        )

    def _alias(self, item: Mapping[str, object], sent: object, received: int) -> Message:
        """A message that says by name that one id is another user's."""
        if not self._merges:
            reason = "this definition merges no ids; add 'identities: {}' to it, and run propensity materialize"
            raise _RefusedError("no_identities", reason)
        user, alias = self._user(item, "userId"), self._user(item, "previousId")
        if user == alias:
            raise _RefusedError("user_id", f"previousId and userId are both {user!r:.60}")
        number = _text(item, "messageId") or str(uuid.uuid4())
        t = happened(item, sent, received)
        return Message(number, user, ALIAS, alias, t, received, {EXPLICIT: True}, stated=stated(item))

    def _user(self, item: Mapping[str, object], *keys: str) -> str:
        for key in keys or ("userId", "anonymousId"):
            value = item.get(key)
            if value is None or (isinstance(value, str) and not value.strip(SPACE)):
                continue
            try:
                return self._columns.user_of(value)
            except UserIdError as error:
                raise _RefusedError("user_id", f"{key}: {error.message}") from error
        missing = f"{keys[0]!r} is not set" if keys else "neither 'userId' nor 'anonymousId' is set"
        raise _RefusedError("no_user", missing)


def stated(item: Mapping[str, object]) -> int | None:
    """When something happened by the sender's clock, if the sender says so; the same each time a message is sent."""
    value = item.get("originalTimestamp", item.get("timestamp"))
    if value is None:
        return None
    original = read_time(value)
    if original is None:
        raise _RefusedError("timestamp", f"timestamp {_shown(value)} is not an ISO 8601 time")
    return original


def happened(item: Mapping[str, object], sent: object, received: int) -> int:
    """When something happened, by our clock.

    A device's clock may be wrong by years, but by the same amount when the thing happened and when the message was
    sent: ``timestamp = received + (originalTimestamp - sentAt)``. Nothing happens after it was received.
    """
    original = stated(item)
    if original is None:
        return received
    sent_at = item.get("sentAt", sent)
    if sent_at is not None:
        instant = read_time(sent_at)
        if instant is None:
            raise _RefusedError("timestamp", f"sentAt {_shown(sent_at)} is not an ISO 8601 time")
        original += received - instant
    return max(min(original, received), 0)


def as_sent(message: Message) -> str:
    """A message in the form in which it can be sent again."""
    content: dict[str, object] = {"type": message.kind, "messageId": message.id, "userId": message.user,
            "timestamp": to_datetime(message.t).isoformat()}  # fmt: skip
    if message.kind == ALIAS:
        return json.dumps(content | {"previousId": message.event})
    content |= {"event": message.event, "properties": message.body} if message.event else {"traits": message.body}
    return json.dumps(content)


class _RefusedError(Exception):
    """A message is refused."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def _text(item: Mapping[str, object], key: str) -> str:
    """A short text of a message; numbers are text too, as SDKs send ids."""
    value = item.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _RefusedError("not_text", f"{key} is {kind_of(value)}, not text")
    text = str(value).strip()
    if len(text) > _LONGEST:
        raise _RefusedError("too_large", f"{key} has {len(text):,} characters; at most {_LONGEST} are allowed")
    if "\x00" in text or not is_unicode(text):
        raise _RefusedError("not_text", f"{key} holds NUL or characters that are not valid Unicode")
    return text


def _letter(item: object, refused: _RefusedError, kind: str | None, sent: object, received: int) -> DeadLetter:
    """Keep a refused message, as far as it can be kept, with what the request says of it."""
    content = item if isinstance(item, Mapping) else {}
    if content:
        item = {key: value for key, value in (("type", kind), ("sentAt", sent)) if value is not None} | dict(content)
    body = "" if _deeper(item, DEPTH) else json.dumps(item)[:MESSAGE_BYTES]
    return DeadLetter("ingest", refused.code, str(refused), body, received, _id_of(content), _user_of(content))


def _id_of(content: Mapping[str, object]) -> str | None:
    """The message's id, as far as it can be written down."""
    value = content.get("messageId")
    return value[:_LONGEST].replace("\x00", "").encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _user_of(content: Mapping[str, object]) -> str | None:
    """Whom a refused message is about, in the form in which they may be erased later."""
    for key in ("userId", "anonymousId"):
        with suppress(UserIdError):
            return user_id(content.get(key))
    return None


def _deeper(value: object, most: int) -> bool:
    """Whether lists and objects lie more than so many deep in one another; looked at level by level."""
    level = [value]
    for _ in range(most):
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        level = [one for one in inner if isinstance(one, (dict, list))]
        if not level:
            return False
    return True


def _shown(value: object) -> str:
    """A value in an answer: its beginning, or what it is."""
    if isinstance(value, str):
        return repr(value[:60])
    return f"{value!r:.60}" if value is None or isinstance(value, (bool, int, float)) else kind_of(value)
