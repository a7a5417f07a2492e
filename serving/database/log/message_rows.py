"""Messages as rows of the live log's table, and as one number that tells their content."""

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from features.events.hashing import hashed
from features.reading.live_messages import Message
from serving.database.tables import SHARDS


def hash_of(users: Sequence[str]) -> list[int]:
    """64 bits of each user's id, as the event store spreads users by."""
    return list(hashed(pa.chunked_array([pa.array(list(users), pa.string())])).tolist())


def shards_of(users: Sequence[str]) -> list[int]:
    """Which part of the users each belongs to."""
    return [(key & 0x7FFF_FFFF_FFFF_FFFF) % SHARDS for key in hash_of(users)]


def digest_64(text: str) -> int:
    """64 bits of a text, which nobody can choose another text for in practice."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), signed=True)


def content_of(kind: str, event: str, body: object) -> int:
    """64 bits of what a message says, but for who and when."""
    return digest_64(json.dumps([kind, event, body], sort_keys=True))


def row_of(message: Message, shard: int, position: int, *, corrects: bool) -> dict[str, object]:
    """A message as a row."""
    return {
        "position": position,
        "message_id": message.id,
        "user_id": message.user,
        "shard": shard,
        "kind": message.kind,
        "event": message.event,
        "happened": message.t,
        "received": message.received,
        "stated": message.stated,
        "corrects": corrects,
        "body": json.dumps(message.body, separators=(",", ":")),
    }


def message_of(row: sa.Row[Any]) -> Message:
    """A row as a message."""
    return Message(
        id=row.message_id,
        user=row.user_id,
        kind=row.kind,
        event=row.event,
        t=row.happened,
        received=row.received,
        body=json.loads(row.body),
        position=row.position,
        stated=row.stated,
        corrects=row.corrects,
    )
