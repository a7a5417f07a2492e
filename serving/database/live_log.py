"""The live log: accepted messages, each once, durable before it is acknowledged, in an order that never changes."""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from features.definition.schema import Definition
from features.errors import LiveLogError, PropensityError
from features.events.hashing import hashed
from features.events.tombstones import digest_of
from features.reading.live_messages import Message
from features.settings import Settings
from features.time import DAY
from serving.database.dead_letters import ID_TAKEN, DeadLetter, Limits, taken_id
from serving.database.erasure import remove_letters, rows_of, users_said
from serving.database.failures import reached
from serving.database.schema import connect, new_id
from serving.database.tables import (
    SHARDS,
    dead,
    erased,
    erased_before,
    events,
    insert,
    log_ids,
    log_state,
    one_at_a_time,
)

#: rows of one statement; SQLite takes 32,766 values
CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class LogState:
    """Which log this is, and how far it has come.

    Attributes:
        ids: its random ids, its own last; the others are those of logs whose positions it goes on from.
        position: the highest position that was ever given, whether or not its message is still here.
        pruned: messages through this position may not be here any more, because files hold them.
        refused: why nothing more must be made of it until it is adopted; empty when all is well.
    """

    ids: tuple[str, ...]
    position: int
    pruned: int
    refused: str

    @property
    def id(self) -> str:
        """The log's own id."""
        return self.ids[-1]


def _wall() -> int:
    return time.time_ns() // 1_000


def hash_of(users: Sequence[str]) -> list[int]:
    """64 bits of each user's id, as the event store spreads users by."""
    return list(hashed(pa.chunked_array([pa.array(list(users), pa.string())])).tolist())


class LiveLog:
    """A definition's live log.

    Args:
        engine: its database.
        letters: how many dead letters are kept, and for how long.
        wall: the time in microseconds, from which positions are given.
    """

    def __init__(self, engine: sa.Engine, letters: Limits | None = None, wall: Callable[[], int] = _wall) -> None:
        self.engine = engine
        self._letters = letters or Limits()
        self._wall = wall

    @classmethod
    def open(cls, definition: Definition, settings: Settings) -> "LiveLog":
        """Open the live log where the settings say it is.

        Raises:
            UnavailableError: the database does not answer, is damaged, or lacks a right or a column.
            PropensityError: the address of the database is none.
        """
        letters = Limits(settings.dead_letters, settings.dead_letter_days * DAY)
        try:
            url = sa.make_url(settings.live_url(definition.name))
            with reached(url.username):
                return cls(connect(url), letters)
        except (sa.exc.ArgumentError, ImportError) as error:
            raise PropensityError(
                f"PROPENSITY_LIVE_LOG is no address of a database that can be used here ({type(error).__name__}).",
                fix="write postgresql+psycopg://user:password@host/database, and pip install 'propensity[postgres]'",
            ) from error

    @property
    def file(self) -> Path | None:
        """The database's file; None where a server has it."""
        url = self.engine.url
        return Path(str(url.database)).absolute() if url.get_backend_name() == "sqlite" else None

    def close(self) -> None:
        """Close the connections that are open."""
        self.engine.dispose()

    def append(self, messages: Sequence[Message], refused: Sequence[DeadLetter] = ()) -> list[str]:
        """Append messages, and keep refused ones, in one transaction that is on the disk when this returns.

        Returns:
            What became of each message: ``accepted``, ``duplicate`` (its id is there already, whoever sent it),
            ``id_taken`` (and is that of another event: it is kept as a dead letter) or ``erased_user``.

        Raises:
            UnavailableError: nothing was kept; send the same messages again.
        """
        with self.writing() as connection:
            one_at_a_time(connection)
            buried = self.erased_among(connection, [message.user for message in messages])
            kept = [message for message in messages if message.user not in buried]
            new = self._add(connection, kept)
            answers = []
            for message in messages:
                answers.append(
                    "erased_user" if message.user in buried else "accepted" if message.id in new else "duplicate"
                )
                new.discard(message.id)  # the same id twice in one batch counts once
            again = [at for at, answer in enumerate(answers) if answer == "duplicate"]
            letters = []
            for at in self._of_other_events(connection, messages, again):
                answers[at] = ID_TAKEN
                letters.append(taken_id(messages[at]))
            self._letters.keep(connection, [*self._of_others(connection, refused), *letters])
        return answers

    @staticmethod
    def _of_other_events(connection: sa.Connection, messages: Sequence[Message], again: Sequence[int]) -> list[int]:
        """Which of some messages have the id of a message that says something else.

        Who sent it, and when it happened by a clock that is put right anew with each request, may differ: then it was
        sent again.
        """
        ids = list(dict.fromkeys(messages[at].id for at in again))
        said: dict[str, tuple[str, str, object]] = {}
        for lo in range(0, len(ids), CHUNK):
            asked = events.c.message_id.in_(ids[lo : lo + CHUNK])
            columns = (events.c.message_id, events.c.kind, events.c.event, events.c.body)
            for row in connection.execute(sa.select(*columns).where(asked)):
                said[row.message_id] = row.kind, row.event, json.loads(row.body)
        sent = {at: (m.kind, m.event, json.loads(json.dumps(m.body))) for at in again for m in (messages[at],)}
        return [at for at in again if said.get(messages[at].id, sent[at]) != sent[at]]

    def _add(self, connection: sa.Connection, messages: Sequence[Message]) -> set[str]:
        """Insert messages; returns the ids of those that were not there yet.

        Positions are the time in microseconds, or the next number where that was given already. So no log ever gives
        a number that an older copy of it, or another log in its place, has given before: what reads messages by their
        position passes over none, whichever log was restored.
        """
        if not messages:
            return set()
        given = int(connection.scalar(sa.select(log_state.c.position)) or 0)
        first, new = max(given + 1, self._wall()), set[str]()
        for lo in range(0, len(messages), CHUNK):
            some = messages[lo : lo + CHUNK]
            numbers = range(first + lo, first + lo + len(some))
            placed = zip(some, shards_of([m.user for m in some]), numbers, strict=True)
            rows = [_row(message, shard, position) for message, shard, position in placed]
            add = insert(events, connection).values(rows).on_conflict_do_nothing(index_elements=["message_id"])
            new.update(connection.scalars(add.returning(events.c.message_id)))
        if new:
            connection.execute(sa.update(log_state).values(position=first + len(messages) - 1))
        return new

    def take_out(self, messages: Sequence[Message], letters: Sequence[DeadLetter]) -> None:
        """Take messages that cannot be folded out of the log, and keep them as dead letters."""
        with self.writing() as connection:
            connection.execute(sa.delete(events).where(events.c.position.in_([m.position for m in messages])))
            self._letters.keep(connection, self._of_others(connection, letters))

    def tail(self, since: Mapping[int, int], limit: int) -> list[Message]:
        """The next messages of some shards, in order.

        Args:
            since: of each shard, the position after which to begin.
            limit: how many at most.
        """
        if not since:
            return []
        wanted = [sa.and_(events.c.shard == shard, events.c.position > position) for shard, position in since.items()]
        return self._read(sa.select(events).where(sa.or_(*wanted)).order_by(events.c.position).limit(limit))

    def of_users(self, users: Collection[str], *, since: int = 0) -> list[Message]:
        """All messages of users after a position, in order."""
        if not users:
            return []
        found: list[Message] = []
        names = list(users)
        for lo in range(0, len(names), CHUNK):
            mine = events.c.user_id.in_(names[lo : lo + CHUNK]) & (events.c.position > since)
            found += self._read(sa.select(events).where(mine))
        return sorted(found, key=lambda message: message.position)

    def between(self, since: int, through: int, limit: int) -> list[Message]:
        """Messages with positions in ``(since, through]``, in order, the first ``limit`` of them."""
        here = (events.c.position > since) & (events.c.position <= through)
        return self._read(sa.select(events).where(here).order_by(events.c.position).limit(limit))

    def last(self) -> int:
        """The highest position ever given; 0 where nothing was ever appended."""
        with self.reading() as connection:
            return int(connection.scalar(sa.select(log_state.c.position)) or 0)

    def waiting(self, since: int) -> int:
        """How many messages there are after a position."""
        with self.reading() as connection:
            counted = sa.select(sa.func.count()).where(events.c.position > since)
            return int(connection.scalar(counted) or 0)

    def users_after(self, since: int) -> list[str]:
        """Users with messages after a position."""
        with self.reading() as connection:
            return list(connection.scalars(sa.select(events.c.user_id).where(events.c.position > since).distinct()))

    def state(self) -> LogState:
        """Which log this is, and how far it has come."""
        with self.reading() as connection:
            row = connection.execute(sa.select(log_state)).one()
            ids = tuple(connection.scalars(sa.select(log_ids.c.id).order_by(log_ids.c.number)))
        return LogState(ids, row.position, row.pruned, row.refused or "")

    def refuse(self, why: str) -> None:
        """Keep why nothing more must be made of this log, so that new messages do not hide it."""
        with self.writing() as connection:
            connection.execute(sa.update(log_state).values(refused=why))

    def adopt(self, ancestors: Collection[str], floor: int, unread: int | None, *, pruned: int) -> LogState:
        """Give the log a new id, from which on its positions are higher than all that were given before.

        Args:
            ancestors: ids of logs whose positions it goes on from.
            floor: the highest position that anything was made of.
            unread: messages after this position get new ones above all; None leaves all where they are.
            pruned: what lies through this position may be in files only.
        """
        with self.writing() as connection:
            one_at_a_time(connection)
            state = connection.execute(sa.select(log_state)).one()
            ids = list(connection.scalars(sa.select(log_ids.c.id).order_by(log_ids.c.number)))
            top = max(floor, state.position)
            if unread is not None:
                top += self._move_up(connection, unread, floor, top)
            more = [name for name in dict.fromkeys(ancestors) if name and name not in ids]
            rows = [{"number": i, "id": name} for i, name in enumerate([*more, new_id()], len(ids) + 1)]
            connection.execute(sa.insert(log_ids), rows)
            change = {"position": top, "refused": None, "pruned": pruned}
            connection.execute(sa.update(log_state).values(change))
        return self.state()

    def span(self) -> tuple[int, int] | None:
        """When the oldest and the newest message that are here arrived, or None."""
        orders = (events.c.position, events.c.position.desc())
        ends = [sa.select(events.c.received).order_by(order).limit(1) for order in orders]
        with self.reading() as connection:
            found = [connection.scalar(end) for end in ends]
        return (found[0], found[1]) if found[0] is not None and found[1] is not None else None

    def touched(self, since: int, after: str, limit: int) -> list[str]:
        """Users with messages that arrived since an instant, ascending, those after a name."""
        asked = (events.c.received >= since) & (events.c.user_id > after)
        with self.reading() as connection:
            chosen = sa.select(events.c.user_id).where(asked).distinct().order_by(events.c.user_id).limit(limit)
            return list(connection.scalars(chosen))

    @staticmethod
    def _move_up(connection: sa.Connection, unread: int, floor: int, top: int) -> int:
        """Give messages new positions above all, in their order, if one of them lies below; returns how many."""
        theirs = sa.select(events.c.position).where(events.c.position > unread)
        lowest = connection.scalar(theirs.order_by(events.c.position).limit(1))
        if lowest is None or lowest > floor:
            return 0
        number = sa.func.row_number().over(order_by=events.c.position).label("number")
        numbered = theirs.add_columns(number).subquery()
        moved = sa.update(events).where(events.c.position == numbered.c.position)
        return int(connection.execute(moved.values(position=top + numbered.c.number)).rowcount)

    def prune(self, through: int, before: int, *, log: str) -> int:
        """Remove messages that files hold, through a position of the log of an id, that arrived before an instant.

        Returns:
            How many were removed.

        Raises:
            LiveLogError: this is another log.
        """
        with self.writing() as connection:
            if log not in connection.scalars(sa.select(log_ids.c.id)).all():
                raise LiveLogError(f"files of the live log {log} say nothing of this one.", fix="propensity compact")
            # the newest stays whatever its age: it says when something came last
            newest = sa.select(sa.func.max(events.c.position)).scalar_subquery()
            old = (events.c.position <= through) & (events.c.received < before) & (events.c.position < newest)
            highest = connection.scalar(sa.select(sa.func.max(events.c.position)).where(old))
            if highest is None:
                return 0
            pruned = sa.update(log_state).where(log_state.c.pruned < highest).values(pruned=highest)
            connection.execute(pruned)
            return int(connection.execute(sa.delete(events).where(old)).rowcount)

    def prune_letters(self, now: int) -> int:
        """Remove dead letters that are too many or too old; returns how many."""
        with self.writing() as connection:
            return self._letters.prune(connection, now)

    def dead_letters(self, *, since: int = 0, limit: int = 1_000) -> list[DeadLetter]:
        """Messages that were not taken and not replayed since, oldest first."""
        asked = sa.select(dead).where((dead.c.id > since) & dead.c.replayed.is_(False)).order_by(dead.c.id).limit(limit)
        with self.reading() as connection:
            rows = connection.execute(asked).all()
        return [DeadLetter(r.stage, r.code, r.reason, r.body, r.received, r.message_id, r.user_id, r.id) for r in rows]

    def mark_replayed(self, letters: Sequence[int]) -> None:
        """Say that dead letters were replayed."""
        with self.writing() as connection:
            connection.execute(sa.update(dead).where(dead.c.id.in_(letters)).values(replayed=True))

    def erase(self, users: Sequence[str]) -> dict[str, int]:
        """Bury users: their messages and dead letters go, and new ones are refused.

        Returns:
            How many rows went: ``live events`` and ``dead letters``.
        """
        with self.writing() as connection:
            one_at_a_time(connection)
            rows = [{"digest": digest_of(user)} for user in users]
            connection.execute(insert(erased, connection).on_conflict_do_nothing(), rows)
            gone = connection.execute(sa.delete(events).where(events.c.user_id.in_(users))).rowcount
            letters = remove_letters(connection, users)
        return {"live events": int(gone), "dead letters": letters}

    def rows_of(self, users: Sequence[str]) -> dict[str, int]:
        """How many rows of users there are, by table, in all that is kept beside the log too."""
        with self.reading() as connection:
            return rows_of(connection, users)

    def erased(self, users: Sequence[str]) -> set[str]:
        """Those of some users who were erased."""
        with self.reading() as connection:
            return self.erased_among(connection, users)

    def settle(self) -> None:
        """Leave nothing of what was removed in files beside the database."""
        if self.engine.dialect.name == "sqlite":
            with self.reading() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def _of_others(self, connection: sa.Connection, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """The letters that are not of erased users."""
        said = [users_said(letter.body) | ({letter.user} if letter.user else set()) for letter in letters]
        erased = self.erased_among(connection, sorted(set().union(*said)))
        return [letter for letter, users in zip(letters, said, strict=True) if users.isdisjoint(erased)]

    def erased_among(self, connection: sa.Connection, users: Sequence[str]) -> set[str]:
        """Those of some users who were erased."""
        names = list(dict.fromkeys(users))
        found: set[str] = set()
        for lo in range(0, len(names), CHUNK):
            some = names[lo : lo + CHUNK]
            digests, keys = {digest_of(user): user for user in some}, dict(zip(hash_of(some), some, strict=True))
            known = connection.scalars(sa.select(erased.c.digest).where(erased.c.digest.in_(list(digests))))
            found |= {digests[digest] for digest in known}
            older = sa.select(erased_before.c.user_hash).where(erased_before.c.user_hash.in_(list(keys)))
            found |= {keys[key] for key in connection.scalars(older)}
        return found

    def _read(self, query: sa.Select[Any]) -> list[Message]:
        with self.reading() as connection:
            rows = connection.execute(query).all()
        return [_message(row) for row in rows]

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that holds up nobody."""
        with reached(self.engine.url.username), self.engine.connect().execution_options(reading=True) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction."""
        with reached(self.engine.url.username), self.engine.begin() as connection:
            yield connection


def shards_of(users: Sequence[str]) -> list[int]:
    """Which part of the users each belongs to."""
    return [(key & 0x7FFF_FFFF_FFFF_FFFF) % SHARDS for key in hash_of(users)]


def _row(message: Message, shard: int, position: int) -> dict[str, object]:
    return {
        "position": position,
        "message_id": message.id,
        "user_id": message.user,
        "shard": shard,
        "kind": message.kind,
        "event": message.event,
        "happened": message.t,
        "received": message.received,
        "body": json.dumps(message.body, separators=(",", ":")),
    }


def _message(row: sa.Row[Any]) -> Message:
    body = json.loads(row.body)
    return Message(row.message_id, row.user_id, row.kind, row.event, row.happened, row.received, body, row.position)
