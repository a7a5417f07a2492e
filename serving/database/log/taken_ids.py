"""Ids that are taken: whether a message of one is a repeat, a correction, or another event.

As files have it (`features.events.repeats`): an id is one event of the user who sent it first, and the newest arrival
of its rows counts. So a message that says what the newest one says changes nothing; a message of the same user that
says something else corrects it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from features.definition.schema import Definition
from features.reading.live_messages import TRACK, LogColumns, Message, columns_path
from serving.database.bulk import among, by_index
from serving.database.log.dead_letters import ID_TAKEN
from serving.database.log.message_rows import content_of, digest_64
from serving.database.tables import CHUNK, chunks, events, insert, pruned_ids

ACCEPTED, CORRECTED, DUPLICATE = "accepted", "corrected", "duplicate"


@dataclass(frozen=True, slots=True)
class IdRules:
    """How files judge ids.

    Attributes:
        by_arrival: they say when rows arrived; else the place in the log decides.
        correctable: whether they keep the ids of messages, without which they could not tell a correction.
    """

    by_arrival: bool = True
    correctable: Callable[[], bool] = lambda: True

    @classmethod
    def of(cls, definition: Definition, folder: Path) -> "IdRules":
        """The rules of a definition, whose columns are kept in a folder as soon as its log was read."""

        def correctable() -> bool:
            return columns_path(folder).exists() and LogColumns.load(definition, folder).keeps_ids

        return cls(definition.events.columns.arrived is not None, correctable)

    def arrived(self, happened: int, received: int) -> int:
        """What decides which row is newest, before its place: when a row could be seen first."""
        return max(happened + 1, received) if self.by_arrival else 0


@dataclass(frozen=True, slots=True)
class Claim:
    """The message of an id that counts.

    Attributes:
        user: 64 bits of who sent it.
        kind: ``track`` or ``identify``.
        content: 64 bits of what it says.
        stated: when it happened by its sender's clock; None where it did not say.
        order: when it arrived, and its position.
    """

    user: int
    kind: str
    content: int
    stated: int | None
    order: tuple[int, int]


class TakenIds:
    """The ids of some messages that are taken, in the live log or among those pruned from it.

    Args:
        connection: a transaction in which nobody else appends.
        messages: the messages.
        rules: how files judge ids.
    """

    def __init__(self, connection: sa.Connection, messages: Sequence[Message], rules: IdRules) -> None:
        self._rules = rules
        self._new: dict[str, tuple[Message, int]] = {}
        by_index(connection)
        ids = list(dict.fromkeys(message.id for message in messages))
        self._claims = {name: claim for some in chunks(ids) for name, claim in self._in_log(connection, some)}
        others = [name for name in ids if name not in self._claims]
        self._claims |= {name: claim for some in chunks(others) for name, claim in _pruned(connection, some)}

    def take(self, message: Message, position: int) -> str:
        """Judge the next message; one that is taken counts from now on.

        Args:
            message: the message.
            position: the position that it would have.

        Returns:
            ``accepted``, ``corrected`` (accepted, and takes the place of what had its id), ``duplicate`` or
            ``id_taken``.
        """
        known = self._claims.get(message.id)
        if known is None and message.id in self._new:
            known = self._claim(*self._new[message.id])
        if known is None:
            self._new[message.id] = message, position
            return ACCEPTED
        mine = self._claim(message, position)
        same, moved = known.content == mine.content, mine.stated not in (None, known.stated)
        if same and not moved:
            return DUPLICATE
        event_of_user = known.user == mine.user and known.kind == mine.kind == TRACK
        if not (event_of_user and self._rules.correctable()):
            return DUPLICATE if same else ID_TAKEN
        self._claims[message.id] = max(known, mine, key=lambda claim: claim.order)
        return CORRECTED

    def _claim(self, message: Message, position: int) -> Claim:
        order = self._rules.arrived(message.t, message.received), position
        content = content_of(message.kind, message.event, message.body)
        return Claim(digest_64(message.user), message.kind, content, message.stated, order)

    def _in_log(self, connection: sa.Connection, ids: Sequence[str]) -> Iterator[tuple[str, Claim]]:
        rows = connection.execute(sa.select(events).where(among(connection, events.c.message_id, ids))).all()
        claims = [(row.message_id, claim_of(row, self._rules)) for row in rows]
        return iter(sorted(claims, key=lambda one: one[1].order))  # the newest comes last, and stays


def claim_of(row: sa.Row[Any], rules: IdRules) -> Claim:
    """The claim of a row of the live log."""
    order = rules.arrived(row.happened, row.received), row.position
    content = content_of(row.kind, row.event, json.loads(row.body))
    return Claim(digest_64(row.user_id), row.kind, content, row.stated, order)


def keep_pruned(connection: sa.Connection, old: sa.ColumnElement[bool], rules: IdRules) -> None:
    """Keep of messages that are about to be pruned what their repeats are recognised by, in about 40 bytes each."""
    since = -1
    asked = sa.select(events).where(old).order_by(events.c.position).limit(CHUNK)
    while rows := connection.execute(asked.where(events.c.position > since)).all():
        since = rows[-1].position
        claims = {}
        for row in sorted(rows, key=lambda row: claim_of(row, rules).order):  # the newest comes last, and stays
            claim = claim_of(row, rules)
            claims[row.message_id] = {
                "id": digest_64(row.message_id), "user_hash": claim.user, "kind": claim.kind, "content": claim.content,
                "stated": claim.stated, "arrived": claim.order[0], "received": row.received,
            }  # fmt: skip
        add = insert(pruned_ids, connection).values(list(claims.values()))
        newer = {column.name: add.excluded[column.name] for column in pruned_ids.c if not column.primary_key}
        newest = pruned_ids.c.arrived <= add.excluded.arrived
        connection.execute(add.on_conflict_do_update(index_elements=["id"], set_=newer, where=newest))


def _pruned(connection: sa.Connection, ids: Sequence[str]) -> Iterator[tuple[str, Claim]]:
    names = {digest_64(name): name for name in ids}
    for row in connection.execute(sa.select(pruned_ids).where(among(connection, pruned_ids.c.id, list(names)))):
        yield names[row.id], Claim(row.user_hash, row.kind, row.content, row.stated, (row.arrived, 0))
