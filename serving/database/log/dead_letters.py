"""Dead letters: messages that were not taken, as many of them as are worth keeping."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from features.reading.live_messages import IDENTIFY, Message
from features.time import DAY, to_datetime
from serving.database.tables import dead

#: a message with the id of another one that says something else and that it cannot correct
ID_TAKEN = "id_taken"
ID_TAKEN_REASON = (
    "its messageId is that of another message, which was accepted and which it does not correct: only an event of the "
    "same user is corrected, and only where events.columns.id is a column of text; a message needs an id of its own"
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was not taken.

    Attributes:
        stage: ``ingest``; ``fold`` when it was accepted and could not be folded; ``merge`` when what it says of two ids
            is not believed, and it counts otherwise.
        code: a stable name of the reason.
        reason: the reason in words.
        body: the message as it came.
        received: when.
        message_id, user: where they could be read.
        id: its number; 0 before it is kept.
    """

    stage: str
    code: str
    reason: str
    body: str
    received: int
    message_id: str | None = None
    user: str | None = None
    id: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How many dead letters are kept, and for how long; the oldest go first.

    Attributes:
        number: how many at most.
        age: for how long, in microseconds.
    """

    number: int = 20_000
    age: int = 30 * DAY

    def keep(self, connection: sa.Connection, letters: Sequence[DeadLetter]) -> None:
        """Keep letters, and remove those for which there is no room or time any more."""
        if not letters:
            return
        connection.execute(sa.insert(dead), [_row(letter) for letter in letters])
        self.prune(connection, max(letter.received for letter in letters))

    def prune(self, connection: sa.Connection, now: int) -> int:
        """Remove what is too much or too old; returns how many."""
        newest = sa.select(sa.func.max(dead.c.id)).scalar_subquery()
        gone = connection.execute(sa.delete(dead).where(dead.c.id <= newest - self.number)).rowcount
        oldest = connection.scalar(sa.select(dead.c.received).order_by(dead.c.id).limit(1))
        if oldest is not None and oldest < now - self.age:
            gone += connection.execute(sa.delete(dead).where(dead.c.received < now - self.age)).rowcount
        return int(gone)


def taken_id(message: Message) -> DeadLetter:
    """The letter of a message whose id is that of another event."""
    body = {
        "type": message.kind, "messageId": message.id, "userId": message.user,
        **({"traits": message.body} if message.kind == IDENTIFY else
           {"event": message.event, "properties": message.body}),
        "timestamp": to_datetime(message.t).isoformat(),
    }  # fmt: skip
    return DeadLetter("ingest", ID_TAKEN, ID_TAKEN_REASON, json.dumps(body), message.received, message.id, message.user)


def _row(letter: DeadLetter) -> dict[str, object]:
    return {
        "received": letter.received,
        "stage": letter.stage,
        "code": letter.code,
        "reason": letter.reason,
        "message_id": letter.message_id,
        "user_id": letter.user,
        "body": letter.body,
        "replayed": False,
    }
