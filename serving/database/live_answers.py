"""Live answers that wait for the monitor, in the database of the live log: one row a user, outcome and day."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from features.events.draws import evenly
from features.time import DAY
from serving.database.erasure import erased_among
from serving.database.log.live_log import LiveLog
from serving.database.tables import answers, chunks, insert, one_at_a_time


@dataclass(frozen=True, slots=True)
class LiveAnswer:
    """What the service has answered about a user.

    Attributes:
        outcome: which outcome.
        user: whom it is about.
        at: the instant it speaks of.
        version: the model.
        answer: the probability, or the amount.
        tier: the tier.
        state: the user's state then.
    """

    outcome: str
    user: str
    at: int
    version: str
    answer: float
    tier: str | None
    state: str | None

    @property
    def day(self) -> int:
        """The day of UTC, by its first instant."""
        return self.at // DAY * DAY


class LiveAnswers:
    """The live answers of one definition that the monitor has not read yet.

    Args:
        live: the live log, which has their table.
    """

    def __init__(self, live: LiveLog) -> None:
        self._live = live

    def add(self, found: Sequence[LiveAnswer], *, most: int, since: int) -> None:
        """Keep answers; of a user, outcome and day the earliest, whichever process writes first.

        Of more than ``most`` users of an outcome and day those stay whose draw is lowest, so that any number of
        processes keep the same ones. Answers of erased users are not kept.

        Args:
            found: the answers.
            most: how many of an outcome and day.
            since: those of before this instant are removed, whether the monitor has read them or not.
        """
        with self._live.writing() as connection:
            one_at_a_time(connection)
            erased = erased_among(connection, [one.user for one in found])
            rows = [one for one in found if one.user not in erased]
            lots = evenly([f"{one.user}\x00{one.day}" for one in rows]).tolist()
            for some in chunks([_row(one, lot) for one, lot in zip(rows, lots, strict=True)]):
                fresh = insert(answers, connection)
                earlier = fresh.excluded.at < answers.c.at
                changed = {name: fresh.excluded[name] for name in ("at", "version", "answer", "tier", "state")}
                keys = ["outcome", "day", "user_id"]
                # row by row: a statement may not change one row twice
                connection.execute(fresh.on_conflict_do_update(index_elements=keys, set_=changed, where=earlier), some)
            for outcome, day in sorted({(one.outcome, one.day) for one in rows}):
                _trim(connection, outcome, day, most)
            connection.execute(sa.delete(answers).where(answers.c.day < since))

    def days(self, outcome: str) -> list[int]:
        """The days of which there are answers, ascending."""
        asked = sa.select(answers.c.day).where(answers.c.outcome == outcome).distinct().order_by(answers.c.day)
        with self._live.reading() as connection:
            return list(connection.scalars(asked))

    def of_day(self, outcome: str, day: int) -> list[LiveAnswer]:
        """The answers of a day, by user."""
        asked = sa.select(answers).where(_of(outcome, day)).order_by(answers.c.user_id)
        with self._live.reading() as connection:
            rows = connection.execute(asked).all()
        return [LiveAnswer(r.outcome, r.user_id, r.at, r.version, r.answer, r.tier, r.state) for r in rows]

    def remove(self, outcome: str, day: int, users: Collection[str]) -> None:
        """Remove answers of a day that are kept elsewhere by now."""
        with self._live.writing() as connection:
            for some in chunks(list(users)):
                connection.execute(sa.delete(answers).where(_of(outcome, day) & answers.c.user_id.in_(some)))


def _of(outcome: str, day: int) -> sa.ColumnElement[bool]:
    return (answers.c.outcome == outcome) & (answers.c.day == day)


def _trim(connection: sa.Connection, outcome: str, day: int, most: int) -> None:
    """Remove the highest draws of a day that has too many."""
    mine = _of(outcome, day)
    beyond = sa.select(answers.c.lot).where(mine).order_by(answers.c.lot).offset(most).limit(1)
    if (lot := connection.scalar(beyond)) is not None:
        connection.execute(sa.delete(answers).where(mine & (answers.c.lot >= lot)))


def _row(one: LiveAnswer, lot: float) -> dict[str, object]:
    return {"outcome": one.outcome, "day": one.day, "user_id": one.user, "lot": lot, "at": one.at,
            "version": one.version, "answer": one.answer, "tier": one.tier, "state": one.state}  # fmt: skip
