"""What was recorded of users: memberships, transitions, arms and assignments, read."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from features.definition.schema import Definition
from features.definition.sections.experiment import Experiment
from segments.transitions.membership import IN, UserMemberships
from segments.transitions.transition import Scoring, Transition
from serving.activation.arms import Arms
from serving.activation.assignments import Assigned, Assignments
from serving.activation.transition_rows import movements, transition_of
from serving.database.activation_tables import make_tables, memberships, scorings, transitions
from serving.database.bulk import among
from serving.database.log.live_log import LiveLog
from serving.database.tables import chunks

#: users of one transaction: a batch and the live path take turns
CHUNK = 500

#: memberships read at once into a frame
READ = 50_000


class Recorded:
    """What was recorded of a definition's users, in the database of its live log.

    Args:
        definition: the definition.
        live: its live log.
    """

    def __init__(self, definition: Definition, live: LiveLog) -> None:
        self._definition, self.live = definition, live
        make_tables(live)
        self.arms = Arms(definition)
        self.assignments = Assignments(definition, self.arms)

    def last(self) -> Scoring | None:
        """The newest batch whose transitions are all recorded; None before the first."""
        with self.live.reading() as connection:
            row = connection.execute(sa.select(scorings).order_by(scorings.c.at.desc()).limit(1)).first()
        return Scoring(row.at, json.loads(row.models), row.definition) if row is not None else None

    def summaries(self) -> pl.DataFrame:
        """Everybody's memberships in short: ``user, at, summary``."""
        query = sa.select(memberships.c.user_id, memberships.c.at, memberships.c.summary)
        schema = {"user": pl.String, "at": pl.Int64, "summary": pl.String}
        with self.live.reading() as connection:
            rows = connection.execution_options(yield_per=READ).execute(query)
            parts = [pl.DataFrame(list(map(tuple, some)), schema=schema, orient="row") for some in rows.partitions()]
        return pl.concat([pl.DataFrame(schema=schema), *parts])

    def summaries_of(self, users: Sequence[str]) -> pl.DataFrame:
        """The memberships of some users in short: ``user, summary``, a row for each of whom something was recorded."""
        m, rows = memberships.c, list[tuple[str, str]]()
        with self.live.reading() as connection:
            for some in chunks(users):
                asked = sa.select(m.user_id, m.summary).where(among(connection, m.user_id, some))
                rows += map(tuple, connection.execute(asked))
        return pl.DataFrame(rows, schema={"user": pl.String, "summary": pl.String}, orient="row")

    def user(self, user: str) -> UserMemberships | None:
        """A user's memberships; None where none were recorded yet."""
        with self.live.reading() as connection:
            return self.of_users(connection, [user]).get(user)

    def history(
        self,
        *,
        user: str | None = None,
        dimension: str | None = None,
        since: int = 0,
        after: int = 0,
        limit: int = 1_000,
        newest: bool = False,
    ) -> list[Transition]:
        """Transitions, in their order.

        Args:
            user: only of this one.
            dimension: only of this one, such as ``states`` or ``segments.cart_abandoned_24h``.
            since: only at or after this instant.
            after: only those with a higher number.
            limit: how many at most.
            newest: the newest first.
        """
        asked = sa.select(transitions).where((transitions.c.id > after) & (transitions.c.at >= since)).limit(limit)
        if user is not None:
            asked = asked.where(transitions.c.user_id == user)
        if dimension is not None:
            asked = asked.where(transitions.c.dimension == dimension)
        asked = asked.order_by(transitions.c.id.desc() if newest else transitions.c.id)
        with self.live.reading() as connection:
            return [transition_of(row) for row in connection.execute(asked)]

    def flows(self, since: int = 0) -> pl.DataFrame:
        """Numbers of transitions: ``dimension, before, after, cause, users``."""
        t = transitions.c
        keys = (t.dimension, t.before, t.after, t.cause)
        asked = sa.select(*keys, sa.func.count().label("users")).where(t.at >= since).group_by(*keys)
        schema = {**dict.fromkeys(("dimension", "before", "after", "cause"), pl.String), "users": pl.Int64}
        with self.live.reading() as connection:
            rows = [tuple(row) for row in connection.execute(asked)]
        return pl.DataFrame(rows, schema=schema, orient="row").sort("dimension", "users", descending=[False, True])

    def batches(self) -> list[int]:
        """The instants of all batches whose transitions are recorded, ascending."""
        with self.live.reading() as connection:
            return list(connection.scalars(sa.select(scorings.c.at).order_by(scorings.c.at)))

    def movements(self, kinds: Collection[str]) -> Iterator[pl.DataFrame]:
        """All transitions of some kinds of dimensions, some at a time, without their scores.

        Args:
            kinds: such as ``states`` and ``segments``.

        Returns:
            Frames of ``at, dimension, before, after``.
        """
        after = 0
        while True:
            with self.live.reading() as connection:
                last, rows = movements(connection, kinds, after=after, limit=READ)
            if last is None:
                return
            after = last
            yield rows

    def held_out(self, users: Sequence[str], dimensions: Sequence[str]) -> list[bool]:
        """Whether each user is held out of the dimension beside them."""
        with self.live.reading() as connection:
            return [bool(out) for out in self.arms.held_out(connection, users, dimensions)]

    def mixed(self, users: Sequence[str]) -> dict[str, frozenset[str]]:
        """Of those of some users who were in both arms of anything, in which dimensions; read-outs leave them out."""
        with self.live.reading() as connection:
            found = self.arms.of(connection, users)
        return {user: arm.mixed for user, arm in found.items() if arm.mixed}

    def inside(self, rule: Experiment) -> list[str]:
        """Who is in an experiment's audience now, in the order of the ids."""
        m = memberships.c
        held = (sa.literal(";") + m.summary + ";").contains(f";{rule.dimension}={held_value(rule)};", autoescape=True)
        with self.live.reading() as connection:
            return list(connection.scalars(sa.select(m.user_id).where(held).order_by(m.user_id)))

    def decided(self, moved: Sequence[Transition]) -> list[dict[str, Assigned]]:
        """Of each transition, by destination, what an experiment has assigned to the user."""
        with self.live.reading() as connection:
            return self.assignments.decide(connection, moved, assign=False)

    def assigned(self, experiment: str) -> pl.DataFrame:
        """Who was assigned what in an experiment, by its id; see `Assignments.everybody`."""
        with self.live.reading() as connection:
            return self.assignments.everybody(connection, experiment)

    def experiments(self) -> dict[str, dict[str, Any]]:
        """By id all experiments seen, as their definitions had them (JSON)."""
        with self.live.reading() as connection:
            return self.assignments.experiments(connection)

    def everybody(self) -> Iterator[tuple[str, UserMemberships]]:
        """Everybody's memberships, some at a time, in the order of the ids."""
        after = ""
        while True:
            asked = sa.select(memberships).where(memberships.c.user_id > after)
            with self.live.reading() as connection:
                rows = connection.execute(asked.order_by(memberships.c.user_id).limit(READ)).all()
            if not rows:
                return
            yield from ((row.user_id, UserMemberships.of_json(row.at, row.content)) for row in rows)
            after = rows[-1].user_id

    def of_users(self, connection: sa.Connection, users: Sequence[str]) -> dict[str, UserMemberships]:
        """The memberships of some users, within a transaction."""
        found: dict[str, UserMemberships] = {}
        for lo in range(0, len(users), CHUNK):
            asked = sa.select(memberships).where(memberships.c.user_id.in_(users[lo : lo + CHUNK]))
            found |= {r.user_id: UserMemberships.of_json(r.at, r.content) for r in connection.execute(asked)}
        return found


def held_value(rule: Experiment) -> str:
    """The value of its dimension that who is in an experiment's audience has."""
    return IN if rule.dimension.kind == "segments" else rule.value
