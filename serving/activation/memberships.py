"""Memberships and transitions of users, recorded in one transaction with the messages that report them."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import sqlalchemy as sa

from features.definition.schema import Definition
from features.time import MINUTE, Clock
from segments.transitions.membership import Observation, rule_digests
from segments.transitions.transition import Cause, Scoring, Transition, TransitionFinder
from serving.activation.outbox import ERASED, Outbox
from serving.activation.recorded import CHUNK, READ, Recorded
from serving.activation.transition_rows import append
from serving.database.activation_tables import (
    arms,
    assignments,
    definitions,
    memberships,
    outbox,
    scorings,
    transitions,
)
from serving.database.erasure import erased_among
from serving.database.log.live_log import LiveLog
from serving.database.tables import MOVING, answers, dead, events, insert, one_at_a_time, pruned_ids

#: what tables of users are called in reports of an erasure; others by their own name
PLACES = {
    events.name: "live events", dead.name: "dead letters", memberships.name: "memberships",
    transitions.name: "transitions", outbox.name: "outbox", pruned_ids.name: "ids of pruned events",
    arms.name: "arms of the holdout", assignments.name: "arms of experiments", answers.name: "live answers",
}  # fmt: skip

#: who must be checked and was taken is given out again after so long
LEASE = 2 * MINUTE


class Memberships(Recorded):
    """Memberships and transitions of a definition's users, in the database of its live log.

    Args:
        definition: the definition.
        live: its live log.
        clock: the service's clock.
    """

    def __init__(self, definition: Definition, live: LiveLog, clock: Clock) -> None:
        super().__init__(definition, live)
        self._clock = clock
        self.outbox = Outbox(definition, live, clock, self.assignments)

    def known(self) -> dict[str, dict[str, str]]:
        """The rules of every definition seen, this one among them from now on."""
        version, rules = self._definition.version, rule_digests(self._definition)
        with self.live.writing() as connection:
            row = {"version": version, "rules": json.dumps(rules)}
            connection.execute(insert(definitions, connection).on_conflict_do_nothing(), [row])
            self.assignments.keep_experiments(connection)
            return {r.version: json.loads(r.rules) for r in connection.execute(sa.select(definitions))}

    def complete(self, scoring: Scoring) -> None:
        """Say that all transitions of a batch are recorded."""
        row = {"at": scoring.at, "models": json.dumps(dict(scoring.models)), "definition": scoring.definition}
        with self.live.writing() as connection:
            connection.execute(sa.delete(scorings).where(scorings.c.at == scoring.at))
            connection.execute(sa.insert(scorings), [row])

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
            found = self.of_users(connection, users)
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
        """Users who must be checked again by now, the longest overdue first.

        Each is returned once, and again after `LEASE` where nobody has recorded by then what they are: the process
        that took them was killed.
        """
        now = self._clock.now()
        asked = sa.select(memberships.c.user_id).where(memberships.c.due <= now)
        asked = asked.order_by(memberships.c.due).limit(limit)
        with self.live.reading() as connection:
            if connection.scalar(asked.limit(1)) is None:
                return []
        with self.live.writing() as connection:
            one_at_a_time(connection, MOVING)
            users = list(connection.scalars(asked))
            later = sa.update(memberships).where(memberships.c.user_id.in_(users)).values(due=now + LEASE)
            connection.execute(later)
        return users

    def not_due(self, users: Sequence[str]) -> None:
        """Let users alone until they act: they cannot be scored now."""
        for lo in range(0, len(users), CHUNK):
            some = memberships.c.user_id.in_(users[lo : lo + CHUNK]) & memberships.c.due.is_not(None)
            with self.live.writing() as connection:
                one_at_a_time(connection, MOVING)
                connection.execute(sa.update(memberships).where(some).values(due=None))

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
            for user, membership in self.everybody()
            for name, (value, since) in membership.held.items()
        )
        return self.outbox.again(destination, held, sync=sync)

    def _all(self, since: int) -> Iterator[Transition]:
        after = 0
        while some := self.history(since=since, after=after, limit=READ):
            yield from some
            after = some[-1].id

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
                there = list(self.of_users(connection, some))
                made = self._left(connection, there, at, "merged")
                kept = append(connection, made)
                self.outbox.add(connection, kept)
                self.arms.merge(connection, {one: users[one] for one in there}, drawn_as)
                self.assignments.merge(connection, {one: users[one] for one in some})
                connection.execute(sa.delete(memberships).where(memberships.c.user_id.in_(there)))
                ended += kept
        return ended

    def draw(self, drawn_as: Mapping[str, str]) -> None:
        """Set by which id the holdouts of everybody are drawn from now on, as `Arms.draw` takes it."""
        with self.live.writing() as connection:
            one_at_a_time(connection, MOVING)
            self.arms.draw(connection, drawn_as)

    def _left(self, connection: sa.Connection, users: Sequence[str], at: int, cause: Cause) -> list[Transition]:
        """The transitions of users who leave all that they are in."""
        version = self._definition.version
        return [
            Transition(user, at, name, value, None, cause, {}, {}, {}, version)
            for user, membership in self.of_users(connection, users).items()
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
