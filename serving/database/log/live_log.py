"""The live log: accepted messages, no repeats, durable before it is acknowledged, in an order that never changes."""

import logging
import time
from collections.abc import Callable, Collection, Sequence

import sqlalchemy as sa

from features.definition.schema import Definition
from features.errors import LiveLogError, PropensityError
from features.reading.live_messages import Message
from features.settings import Settings
from features.time import DAY
from serving.database.bulk import add_rows
from serving.database.checkpoint import moved
from serving.database.erasure import erase, erased_among, not_of_erased
from serving.database.failures import reached
from serving.database.log.dead_letters import ID_TAKEN, DeadLetter, Limits, taken_id
from serving.database.log.kept_messages import KeptMessages
from serving.database.log.log_state import LogState, adopt_log
from serving.database.log.message_rows import row_of, shards_of
from serving.database.log.taken_ids import ACCEPTED, CORRECTED, IdRules, TakenIds, keep_pruned
from serving.database.schema import connect
from serving.database.tables import dead, events, log_ids, log_state, one_at_a_time, pruned_ids

log = logging.getLogger("propensity")

#: seconds in which a removal is moved into the database
_SETTLED = 10.0


def _wall() -> int:
    return time.time_ns() // 1_000


class LiveLog(KeptMessages):
    """A definition's live log.

    Args:
        engine: its database.
        letters: how many dead letters are kept, and for how long.
        wall: the time in microseconds, from which positions are given.
        rules: how files judge ids.
    """

    def __init__(
        self,
        engine: sa.Engine,
        letters: Limits | None = None,
        wall: Callable[[], int] = _wall,
        rules: IdRules | None = None,
    ) -> None:
        super().__init__(engine)
        self._rules = rules or IdRules()
        self._letters = letters or Limits()
        self._wall = wall

    @classmethod
    def open(cls, definition: Definition, settings: Settings) -> "LiveLog":
        """Open the live log where the settings say it is.

        Raises:
            UnavailableError: the database does not answer, is damaged, or lacks a right or a column.
            PropensityError: the address of the database is none.
        """
        rules = IdRules.of(definition, settings.folder(definition.name))
        letters = Limits(settings.dead_letters, settings.dead_letter_days * DAY)
        try:
            url = sa.make_url(settings.live_url(definition.name))
            with reached(url.username):
                return cls(connect(url), letters, rules=rules)
        except (sa.exc.ArgumentError, ImportError) as error:
            raise PropensityError(
                f"PROPENSITY_LIVE_LOG is not the address of a database that can be used here ({type(error).__name__}).",
                fix="write postgresql+psycopg://user:password@host/database, and pip install 'propensity[postgres]'",
            ) from error

    def append(
        self,
        messages: Sequence[Message],
        refused: Sequence[DeadLetter] = (),
        *,
        replayed: bool = False,
        within: Callable[[sa.Connection], None] = lambda _: None,
    ) -> list[str]:
        """Append messages, and keep refused ones, in one transaction that is on the disk when this returns.

        Args:
            messages: those that can be read.
            refused: letters of those that cannot.
            replayed: the messages are of dead letters, which stay: none is written again for an id that is taken.
            within: called in the transaction, before anything is appended; nothing is where it raises.

        Returns:
            What became of each message: ``accepted``, ``corrected`` (accepted, and takes the place of the message that
            had its id), ``duplicate`` (that message says the same), ``id_taken`` (its id is that of
            another event: it is kept as a dead letter) or ``erased_user``.

        Raises:
            UnavailableError: nothing was kept; send the same messages again.
        """
        with self.writing() as connection:
            one_at_a_time(connection)
            within(connection)
            erased = erased_among(connection, [user for message in messages for user in message.users])
            left = [message for message in messages if erased.isdisjoint(message.users)]
            outcomes = iter(self._add(connection, left))
            answers = [next(outcomes) if erased.isdisjoint(m.users) else "erased_user" for m in messages]
            taken = [taken_id(m) for m, answer in zip(messages, answers, strict=True) if answer == ID_TAKEN]
            self._letters.keep(connection, [*not_of_erased(connection, refused), *(() if replayed else taken)])
        return answers

    def _add(self, connection: sa.Connection, messages: Sequence[Message]) -> list[str]:
        """Append messages that are to be taken; returns what became of each.

        Positions are the time in microseconds, or the next number where that was given already. So no log ever gives
        a number that an older copy of it, or another log in its place, has given before: what reads messages by their
        position passes over none, whichever log was restored.
        """
        given = int(connection.scalar(sa.select(log_state.c.position)) or 0)
        taken, position, outcomes = TakenIds(connection, messages, self._rules), max(given + 1, self._wall()), []
        rows = []
        for message, shard in zip(messages, shards_of([m.user for m in messages]), strict=True):
            outcomes.append(taken.take(message, position))
            if outcomes[-1] in (ACCEPTED, CORRECTED):
                rows.append(row_of(message, shard, position, corrects=outcomes[-1] == CORRECTED))
                position += 1
        if rows:
            add_rows(connection, events, rows)
            connection.execute(sa.update(log_state).values(position=position - 1))
        return outcomes

    def take_out(self, messages: Sequence[Message], letters: Sequence[DeadLetter]) -> None:
        """Take messages that cannot be folded out of the log, and keep them as dead letters."""
        with self.writing() as connection:
            connection.execute(sa.delete(events).where(events.c.position.in_([m.position for m in messages])))
            self._letters.keep(connection, not_of_erased(connection, letters))

    def keep_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters of messages that stay in the log."""
        with self.writing() as connection:
            self._letters.keep(connection, not_of_erased(connection, letters))

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
            adopt_log(connection, ancestors, floor, unread, pruned)
        return self.state()

    def prune(self, through: int, before: int, *, log: str, ids_before: int = 0) -> int:
        """Remove messages that files hold, but not what their repeats are known by.

        Args:
            through: the position through which files hold them.
            before: only those that arrived before this instant.
            log: the id of the log of which files say so.
            ids_before: also remove what repeats are known by of messages that arrived before this instant.

        Returns:
            How many were removed.

        Raises:
            LiveLogError: this is another log.
        """
        with self.writing() as connection:
            if log not in connection.scalars(sa.select(log_ids.c.id)).all():
                raise LiveLogError(f"the files are those of another live log, {log}.", fix="propensity compact")
            connection.execute(sa.delete(pruned_ids).where(pruned_ids.c.received < ids_before))
            # the newest stays whatever its age: it says when something came last
            newest = sa.select(sa.func.max(events.c.position)).scalar_subquery()
            old = (events.c.position <= through) & (events.c.received < before) & (events.c.position < newest)
            highest = connection.scalar(sa.select(sa.func.max(events.c.position)).where(old))
            if highest is None:
                return 0
            connection.execute(sa.update(log_state).where(log_state.c.pruned < highest).values(pruned=highest))
            keep_pruned(connection, old, self._rules)
            return int(connection.execute(sa.delete(events).where(old)).rowcount)

    def prune_letters(self, now: int) -> int:
        """Remove dead letters that are too many or too old; returns how many."""
        with self.writing() as connection:
            return self._letters.prune(connection, now)

    def mark_replayed(self, letters: Sequence[int]) -> None:
        """Say that dead letters were replayed."""
        with self.writing() as connection:
            connection.execute(sa.update(dead).where(dead.c.id.in_(letters)).values(replayed=True))

    def erase(self, users: Sequence[str]) -> dict[str, int]:
        """Erase users: their messages and dead letters go, and new ones are refused.

        Returns:
            How many rows went, by what they were.
        """
        with self.writing() as connection:
            one_at_a_time(connection)
            return erase(connection, users)

    def settle(self) -> None:
        """Leave nothing of what was removed in files beside the database."""
        if self.engine.dialect.name == "sqlite":
            with self.reading() as connection:
                truncate = "PRAGMA wal_checkpoint(TRUNCATE)"
                if not moved(lambda: connection.exec_driver_sql(truncate).scalar(), _SETTLED):
                    log.warning("%s is in use: its log may hold what was removed until it is moved again", self.file)
