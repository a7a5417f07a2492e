"""Taking messages in: read, committed, and only then answered."""

import json
import zlib
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Literal

from pydantic import BaseModel, ConfigDict

from features.errors import PropensityError
from features.wrong_values import kind_of
from serving.database.log.dead_letters import ID_TAKEN, ID_TAKEN_REASON
from serving.database.log.taken_ids import ACCEPTED, CORRECTED, DUPLICATE
from serving.ingest.group_commit import Committer
from serving.ingest.tracking import BATCH_BYTES, DEPTH, MOST_MESSAGES, MOST_REFUSED, Read, Tracking
from serving.process.metrics import EVENTS

Call = Literal["track", "identify", "page", "screen", "alias", "batch", "import"]


class RequestError(PropensityError):
    """A request that holds no messages at all.

    Args:
        status: what HTTP says to it.
    """

    code = "request"

    def __init__(self, message: str, *, fix: str = "", status: int = 400) -> None:
        super().__init__(message, fix=fix)
        self.status = status


#: bodies up to this many bytes are read at once; larger ones in a thread, so that they do not hold up others
AT_ONCE = 8_000


#: why the log did not take a message
NOT_TAKEN = {"erased_user": "this user was erased; nothing of it is kept", ID_TAKEN: ID_TAKEN_REASON}


class Refused(BaseModel):
    """A refused message; it is kept as a dead letter.

    Attributes:
        index: its place in the request, from 0.
        message_id: its ``messageId``.
        code: why it was refused, as a stable code.
        reason: why it was refused, in words.
    """

    model_config = ConfigDict(frozen=True)

    index: int
    message_id: str | None
    code: str
    reason: str


class Received(BaseModel):
    """What became of the messages of a request.

    Attributes:
        success: false only if every message was refused.
        accepted: how many messages are new in the live log, on the disk.
        corrected: how many of them take the place of an event of the same user with the same ``messageId``.
        duplicates: how many messages were received before, by their ``messageId``.
        refused: the refused messages, at most the first hundred; these are kept as dead letters.
        refused_total: how many messages were refused in all.
    """

    model_config = ConfigDict(frozen=True)

    success: bool
    accepted: int
    corrected: int
    duplicates: int
    refused: list[Refused]
    refused_total: int


class Ingest:
    """Takes requests of the tracking API.

    Args:
        tracking: reads messages.
        committer: puts them on the disk.
    """

    def __init__(self, tracking: Tracking, committer: Committer) -> None:
        self._tracking, self._committer = tracking, committer

    def begin(self, call: Call, body: bytes, encoding: str, received: int) -> "tuple[Read, Future[list[str]]]":
        """Read a request and hand it to the disk.

        Args:
            call: the last part of the path.
            body: as it came.
            encoding: its ``Content-Encoding``.
            received: the instant it came.

        Raises:
            RequestError: it holds no messages.
            UnavailableError: too many wait.
        """
        content = _content(body, encoding)
        items: list[object] = [content]
        if call in ("batch", "import"):
            batch = content.get("batch")
            if not isinstance(batch, list):
                raise RequestError("the body has no list 'batch'.")
            if len(batch) > MOST_MESSAGES:
                reason = f"a batch of {len(batch):,} messages; at most {MOST_MESSAGES:,} are accepted."
                raise RequestError(reason, fix="send them in several requests", status=413)
            items = batch
        kind = None if call in ("batch", "import") else call
        read = self._tracking.read(items, kind=kind, sent=content.get("sentAt"), received=received)
        messages = [message for _, message in read.messages] + read.merges
        return read, self._committer.submit(messages, [letter for _, letter in read.refused])

    def answer(self, read: Read, outcomes: list[str]) -> Received:
        """Say what became of a request's messages, once they are on the disk."""
        refused = [Refused(index=at, message_id=x.message_id, code=x.code, reason=x.reason) for at, x in read.refused]
        outcomes = outcomes[: len(read.messages)]  # what two ids in one message say is no message
        for (at, message), outcome in zip(read.messages, outcomes, strict=True):
            if outcome in NOT_TAKEN:
                reason = NOT_TAKEN[outcome]
                refused.append(Refused(index=at, message_id=message.id, code=outcome, reason=reason))
        counts = {name: outcomes.count(name) for name in (ACCEPTED, CORRECTED, DUPLICATE)}
        total = len(refused) + read.not_kept
        for name, count in [*counts.items(), ("refused", total)]:
            EVENTS.labels(name).inc(count)
        return Received(
            success=bool(sum(counts.values())) or not refused,
            accepted=counts[ACCEPTED] + counts[CORRECTED],
            corrected=counts[CORRECTED],
            duplicates=counts[DUPLICATE],
            refused=sorted(refused, key=lambda one: one.index)[:MOST_REFUSED],
            refused_total=total,
        )


def _content(body: bytes, encoding: str) -> Mapping[str, object]:
    """The JSON object of a body, however it was packed."""
    if encoding.strip().lower() in ("gzip", "x-gzip"):
        unpacker = zlib.decompressobj(31)
        try:
            body = unpacker.decompress(body, BATCH_BYTES + 1)
        except zlib.error as error:
            raise RequestError(f"the body is not gzip: {error}.") from error
        if not unpacker.eof and len(body) <= BATCH_BYTES:
            raise RequestError("the body is gzip that ends too early.")
    elif encoding.strip().lower() not in ("", "identity"):
        raise RequestError(f"Content-Encoding {encoding[:40]!r} is not supported; send gzip or none.", status=415)
    if len(body) > BATCH_BYTES:
        fix = "send the messages in several requests"
        raise RequestError(f"a body of more than {BATCH_BYTES:,} bytes.", fix=fix, status=413)
    try:
        content = json.loads(body)
    except RecursionError as error:
        raise RequestError("the body is nested too deep.", fix=f"nest a message at most {DEPTH} deep") from error
    except ValueError as error:
        raise RequestError(f"the body is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise RequestError(f"the body is {kind_of(content)}, not an object.")
    return content
