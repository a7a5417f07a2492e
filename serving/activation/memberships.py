"""Memberships and transitions of users, recorded in one transaction with the messages that report them."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from features.definition.schema import Definition
from features.definition.sections.experiment import Experiment
from features.time import Clock
from segments.transitions.membership import Observation, UserMemberships, rule_digests
from segments.transitions.transition import Cause, Scoring, Transition, TransitionFinder
from segments.variants import Trial
from serving.activation.arms import Arms
from serving.activation.assignments import Assigned
from serving.activation.outbox import ERASED, Outbox
from serving.activation.transition_rows import append, movements, transition_of
from serving.database.activation_tables import (
    arms,
    assignments,
    definitions,
    make_tables,
    memberships,
    outbox,
    scorings,
    transitions,
)
from serving.database.erasure import erased_among
from serving.database.live_log import LiveLog
from serving.database.tables import MOVING, dead, events, insert, one_at_a_time, pruned_ids

#: users of one transaction: a batch and the live path take turns
CHUNK = 500

#: what tables of users are called in reports of an erasure; others by their own name
PLACES = {
    events.name: "live events", dead.name: "dead letters", memberships.name: "memberships",
    transitions.name: "transitions", outbox.name: "outbox", pruned_ids.name: "ids of pruned events",
    arms.name: "arms of the holdout", assignments.name: "arms of experiments",
}  # fmt: skip

#: memberships read at once into a frame
_READ = 50_000


class Memberships:
    """Memberships and transitions of a definition's users, in the database of its live log.

    Args:
        definition: the definition.
        live: its live log.
        clock: the service's clock.
    """

    def __init__(self, definition: Definition, live: LiveLog, clock: Clock) -> None:
        self._definition, self.live, self._clock = definition, live, clock
        make_tables(live)
        self.arms = Arms(definition)
        self.outbox = Outbox(definition, live, clock, self.arms)

    def known(self) -> dict[str, dict[str, str]]:
        """The rules of every definition seen, this one among them from now on."""
        version, rules = self._definition.version, rule_digests(self._definition)
        with self.live.writing() as connection:
            row = {"version": version, "rules": json.dumps(rules)}
            connection.execute(insert(definitions, connection).on_conflict_do_nothing(), [row])
            self.outbox.assignments.keep_experiments(connection)
            return {r.version: json.loads(r.rules) for r in connection.execute(sa.select(definitions))}

    def last(self) -> Scoring | None:
        """The newest batch whose transitions are all recorded; None before the first."""
        with self.live.reading() as connection:
            row = connection.execute(sa.select(scorings).order_by(scorings.c.at.desc()).limit(1)).first()
        return Scoring(row.at, json.loads(row.models), row.definition) if row is not None else None

    def complete(self, scoring: Scoring) -> None:
        """Say that all transitions of a batch are recorded."""
        row = {"at": scoring.at, "models": json.dumps(dict(scoring.models)), "definition": scoring.definition}
        with self.live.writing() as connection:
            connection.execute(sa.delete(scorings).where(scorings.c.at == scoring.at))
            connection.execute(sa.insert(scorings), [row])

    def summaries(self) -> pl.DataFrame:
        """Everybody's memberships in short: ``user, at, summary``."""
        query = sa.select(memberships.c.user_id, memberships.c.at, memberships.c.summary)
        schema = {"user": pl.String, "at": pl.Int64, "summary": pl.String}
        with self.live.reading() as connection:
            rows = connection.execution_options(yield_per=_READ).execute(query)
            parts = [pl.DataFrame(list(map(tuple, some)), schema=schema, orient="row") for some in rows.partitions()]
        return pl.concat([pl.DataFrame(schema=schema), *parts])

    def record(
        self,
        observations: Sequence[Observation],
        finder: TransitionFinder,
        last: Scoring | None,
        before: Callable[[Sequence[str]], Mapping[str, Mapping[str, float]]],
        *,
        due: Mapping[str, int] | None = None,
        evidence: Callable[[Sequence[str]], Mapping[str, int]] | None = None,
        drawn_as: Mapping[str, str] | None = None,
    ) -> list[Transition]:
        """Record users' memberships, their transitions and the messages about those, in one transaction.

        Args:
            observations: what users are; those of users who were looked at later than that already are passed over.
            finder: finds transitions.
            last: the newest batch; None for the first, which records where users are and makes no transitions.
            before: the answers of the newest batch for users.
            due: when users must be checked again although they do nothing; unchanged when left out.
            evidence: what was known of users at the newest batch.
            drawn_as: of users of several ids the id by which their holdout is drawn from now on, where that is
                another; unchanged when left out.
        """
        made: list[Transition] = []
        users = [one.user for one in observations]
        scores = before(users) if last is not None else {}
        known = evidence(users) if last is not None and evidence is not None else {}
        with self.live.writing() as connection:
            one_at_a_time(connection, MOVING)
            erased_users = erased_among(connection, users)
            found = self._of_users(connection, users)
            rows = []
            for one in observations:
                was = found.get(one.user)
                if one.user in erased_users or (was is not None and was.at > one.at):
                    continue
                earlier, answers, had = last or Scoring(one.at, {}, ""), scores.get(one.user, {}), known.get(one.user)
                if was is not None and was.at > earlier.at:
                    earlier, answers, had = Scoring(was.at, was.models, was.definition), was.scores, was.evidence
                membership, moved = finder.of(was, one, earlier, answers, had)
                made += moved if last is not None else []
                row = {"user_id": one.user, "at": one.at, "summary": summary_of(membership.held)}
                row |= {"content": membership.to_json()} | ({} if due is None else {"due": due.get(one.user)})
                rows.append(row)
            _put(connection, rows)
            if drawn_as is not None:
                self.arms.draw(connection, drawn_as, users)
            kept = append(connection, made)
            self.outbox.add(connection, kept)
        return kept

    def take_due(self, limit: int) -> list[str]:
        """Users who must be checked again by now, the longest overdue first; each is returned once."""
        asked = sa.select(memberships.c.user_id).where(memberships.c.due <= self._clock.now())
        asked = asked.order_by(memberships.c.due).limit(limit)
        with self.live.reading() as connection:
            if connection.scalar(asked.limit(1)) is None:
                return []
        with self.live.writing() as connection:
            one_at_a_time(connection, MOVING)
            users = list(connection.scalars(asked))
            connection.execute(sa.update(memberships).where(memberships.c.user_id.in_(users)).values(due=None))
        return users

    def user(self, user: str) -> UserMemberships | None:
        """A user's memberships; None where none were recorded yet."""
        with self.live.reading() as connection:
            return self._of_users(connection, [user]).get(user)

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
                last, rows = movements(connection, kinds, after=after, limit=_READ)
            if last is None:
                return
            after = last
            yield rows

    def replay(self, destination: str, since: int) -> int:
        """Send a destination the transitions since an instant once more; returns how many messages wait for it now."""
        return self.outbox.again(destination, self._all(since))

    def resync(self, destination: str) -> int:
        """Send a destination all current members of what it wants; returns how many messages wait for it now.

        All of them name the same ``sync``: the receiver may drop everyone who is not among them.
        """
        now, version = self._clock.now(), self._definition.version
        sync = f"{self._definition.name}.{destination}.{now}"
        held = (
            Transition(user, since, name, None, value, "behaviour", {}, membership.scores, membership.models, version)
            for user, membership in self._everybody()
            for name, (value, since) in membership.held.items()
        )
        return self.outbox.again(destination, held, sync=sync)

    def _all(self, since: int) -> Iterator[Transition]:
        after = 0
        while some := self.history(since=since, after=after, limit=_READ):
            yield from some
            after = some[-1].id

    def _everybody(self) -> Iterator[tuple[str, UserMemberships]]:
        after = ""
        while True:
            asked = sa.select(memberships).where(memberships.c.user_id > after)
            with self.live.reading() as connection:
                rows = connection.execute(asked.order_by(memberships.c.user_id).limit(_READ)).all()
            if not rows:
                return
            yield from ((row.user_id, UserMemberships.of_json(row.at, row.content)) for row in rows)
            after = rows[-1].user_id

    def merged(self, users: Mapping[str, str], drawn_as: Mapping[str, str], at: int) -> list[Transition]:
        """End the memberships of ids that belong to other users now; what they were stays in their history.

        Args:
            users: by id the user to whom it belongs; ids without memberships are passed over.
            drawn_as: of users of several ids the id by which their holdout is drawn, where that is another.
            at: the instant of the scoring that found it.
        """
        ended: list[Transition] = []
        names = list(users)
        for lo in range(0, len(names), CHUNK):
            some = names[lo : lo + CHUNK]
            with self.live.writing() as connection:
                one_at_a_time(connection, MOVING)
                there = list(self._of_users(connection, some))
                made = self._left(connection, there, at, "merged")
                kept = append(connection, made)
                self.outbox.add(connection, kept)
                self.arms.merge(connection, {one: users[one] for one in there}, drawn_as)
                self.outbox.assignments.merge(connection, {one: users[one] for one in some})
                connection.execute(sa.delete(memberships).where(memberships.c.user_id.in_(there)))
                ended += kept
        return ended

    def draw(self, drawn_as: Mapping[str, str]) -> None:
        """Set by which id the holdouts of everybody are drawn from now on, as `Arms.draw` takes it."""
        with self.live.writing() as connection:
            one_at_a_time(connection, MOVING)
            self.arms.draw(connection, drawn_as)

    def held_out(self, users: Sequence[str], dimensions: Sequence[str]) -> list[bool]:
        """Whether each user is held out of the dimension beside them."""
        with self.live.reading() as connection:
            return [bool(out) for out in self.arms.held_out(connection, users, dimensions)]

    def mixed(self, users: Sequence[str]) -> dict[str, frozenset[str]]:
        """Of those of some users who were in both arms of anything, in which dimensions; read-outs leave them out."""
        with self.live.reading() as connection:
            found = self.arms.of(connection, users)
        return {user: arm.mixed for user, arm in found.items() if arm.mixed}

    def enrol(
        self, trial: Trial, last: Scoring, scores: Callable[[Sequence[str]], Mapping[str, Mapping[str, float]]]
    ) -> int:
        """Assign everybody who is in an experiment's audience and was not assigned yet, and hand them off by it.

        Killed half-way, the same again does the rest. Users who are held out of the audience take no part.

        Args:
            trial: the experiment.
            last: the newest batch: the instant at which they are assigned.
            scores: the answers of that batch for users.

        Returns:
            How many were assigned.
        """
        members = self.inside(trial.rule)
        before = len(self.assigned(trial.id))
        for lo in range(0, len(members), CHUNK):
            some = members[lo : lo + CHUNK]
            answers = scores([user for user, _ in some])
            with self.live.writing() as connection:
                one_at_a_time(connection, MOVING)
                known = self.outbox.assignments.of(connection, trial.id, [user for user, _ in some])
                taken = [
                    Transition(user, last.at, trial.rule.dimension, None, value, "experiment", {},
                               answers.get(user, {}), last.models, self._definition.version)
                    for user, value in some if user not in known
                ]  # fmt: skip
                self.outbox.add(connection, taken, only=trial.rule.destination, enrol=True)
        return len(self.assigned(trial.id)) - before

    def inside(self, rule: Experiment) -> list[tuple[str, str]]:
        """Who is in an experiment's audience now, each with the value of its dimension."""
        there = (
            (user, membership.held[rule.dimension][0])
            for user, membership in self._everybody()
            if rule.dimension in membership.held
        )
        return [(user, value) for user, value in there if rule.entered_by(rule.dimension, value)]

    def decided(self, moved: Sequence[Transition]) -> list[dict[str, Assigned]]:
        """Of each transition, by destination, what an experiment has assigned to the user."""
        with self.live.reading() as connection:
            return self.outbox.assignments.decide(connection, moved, assign=False)

    def assigned(self, experiment: str) -> pl.DataFrame:
        """Who was assigned what in an experiment, by its id; see `Assignments.everybody`."""
        with self.live.reading() as connection:
            return self.outbox.assignments.everybody(connection, experiment)

    def experiments(self) -> dict[str, dict[str, Any]]:
        """By id what the definitions of all experiments seen have said, as JSON."""
        with self.live.reading() as connection:
            return self.outbox.assignments.experiments(connection)

    def _left(self, connection: sa.Connection, users: Sequence[str], at: int, cause: Cause) -> list[Transition]:
        """The transitions of users who leave all that they are in."""
        version = self._definition.version
        return [
            Transition(user, at, name, value, None, cause, {}, {}, {}, version)
            for user, membership in self._of_users(connection, users).items()
            for name, (value, _) in membership.held.items()
        ]

    def erase(self, users: Collection[str]) -> dict[str, int]:
        """Erase users; a destination that knows of a membership gets one more message, that the user left.

        Returns:
            How many rows went, by place.
        """
        names = list(users)
        with self.live.writing() as connection:
            one_at_a_time(connection, MOVING)
            farewells = self._left(connection, names, self._clock.now(), ERASED)
            gone = {
                PLACES[table.name]: connection.execute(sa.delete(table).where(table.c.user_id.in_(names))).rowcount
                for table in (memberships, transitions, outbox, arms)
            }
            self.outbox.add(
                connection, farewells
            )  # of whom an experiment has kept from a destination it is sent nothing
            theirs = sa.delete(assignments).where(assignments.c.user_id.in_(names))
            gone[PLACES[assignments.name]] = connection.execute(theirs).rowcount
        return gone

    def left(self, users: Collection[str]) -> dict[str, int]:
        """Search again: rows of users, by place, without the messages that report their erasure."""
        names = list(users)
        found = {PLACES.get(table, table): rows for table, rows in self.live.rows_of(names).items()}
        return found | {"outbox": found["outbox"] - self.outbox.farewells(names)}

    def _of_users(self, connection: sa.Connection, users: Sequence[str]) -> dict[str, UserMemberships]:
        found: dict[str, UserMemberships] = {}
        for lo in range(0, len(users), CHUNK):
            asked = sa.select(memberships).where(memberships.c.user_id.in_(users[lo : lo + CHUNK]))
            found |= {r.user_id: UserMemberships.of_json(r.at, r.content) for r in connection.execute(asked)}
        return found


def summary_of(held: Mapping[str, tuple[str, int]] | Iterable[str]) -> str:
    """Memberships in short, the same for the same values."""
    if isinstance(held, Mapping):
        held = (f"{name}={value}" for name, (value, _) in held.items())
    return ";".join(sorted(held))


def _put(connection: sa.Connection, rows: list[dict[str, object]]) -> None:
    """Insert memberships, in the place of the users' former ones; a column that rows do not have stays as it is."""
    if not rows:
        return
    put = insert(memberships, connection)
    change = {name: put.excluded[name] for name in rows[0] if name != "user_id"}
    connection.execute(put.on_conflict_do_update(index_elements=["user_id"], set_=change), rows)
