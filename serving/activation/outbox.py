"""The outbox: messages to destinations, put there with the transitions they are about, and taken out once delivered."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl
import sqlalchemy as sa

from features.definition.schema import Definition
from features.errors import PropensityError
from features.time import Clock
from segments.transitions.transition import Transition
from serving.activation.assignments import DELIVERED, FAILED, Assignments
from serving.activation.wire.payload import body_of
from serving.database.activation_tables import destinations, outbox
from serving.database.log.live_log import LiveLog
from serving.database.tables import insert

#: how long a sender that says nothing more keeps a destination, in microseconds: longer than any request takes
LEASE = 60_000_000

#: the cause of the last message about somebody
ERASED: Final = "erased"

_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """Messages that go in one request, the same ones however often it is tried.

    Attributes:
        id: names the request; who gets it twice can tell.
        ids: the messages' numbers.
        bodies: what they say.
        created: when the first of them was put there.
        failures: how many requests to the destination have failed since one was taken.
    """

    id: str
    ids: list[int]
    bodies: list[dict[str, object]]
    created: int
    failures: int


class Outbox:
    """The outbox of a definition.

    Args:
        definition: its destinations.
        live: the live log, in whose database it is.
        clock: the service's clock.
        assignments: who is in which variant of an experiment; it knows who is held out of what, too.
    """

    def __init__(self, definition: Definition, live: LiveLog, clock: Clock, assignments: Assignments) -> None:
        self._definition, self._live, self._clock = definition, live, clock
        self._assignments, self._arms = assignments, assignments.arms

    def add(
        self,
        connection: sa.Connection,
        moved: Sequence[Transition],
        *,
        only: str | None = None,
        sync: str = "",
        enrol: bool = False,
    ) -> int:
        """Put a message there for each transition and each destination that wants it, within a transaction.

        Nothing is sent of users who are held out of a dimension, or whom an experiment has assigned nothing; but it is
        sent of everybody that erased users left.

        Args:
            connection: the transaction that keeps the transitions.
            moved: the transitions.
            only: to this destination only.
            sync: the name of the full resync they belong to.
            enrol: whether experiments assign these users although they go to one destination only.

        Returns:
            How many messages.
        """
        wanted = {k: d for k, d in self._definition.destinations.items() if only in (None, k)}
        asked = [t for t in moved if any(d.wants(t.dimension, t.before, t.after) for d in wanted.values())]
        out = self._held_out(connection, asked)
        # who is sent something once more has been assigned, or never will be for it
        assign = only is None or enrol
        sent = [transition for transition, held in zip(asked, out, strict=True) if not held]
        arms = self._assignments.decide(connection, sent, assign=assign)
        rows, now = [], self._clock.now()
        for transition, assigned in zip(sent, arms, strict=True):
            body = body_of(self._definition.name, transition, sync)
            rows += [
                {"destination": name, "key": body["id"], "user_id": transition.user, "created": now,
                 "body": json.dumps(body | arm.words if (arm := assigned.get(name)) else body), "dead": False}
                for name, destination in wanted.items()
                if destination.wants(transition.dimension, transition.before, transition.after)
                and not (name in assigned and assigned[name].withholds(transition, destination))
            ]  # fmt: skip
        for lo in range(0, len(rows), _CHUNK):
            put = insert(outbox, connection).on_conflict_do_nothing(index_elements=["destination", "key"])
            connection.execute(put, rows[lo : lo + _CHUNK])
        return len(rows)

    def _held_out(self, connection: sa.Connection, moved: Sequence[Transition]) -> list[bool]:
        """Which transitions are not sent because the user is held out; unknown dimensions hold nobody out."""
        known = [t for t in moved if t.dimension in self._arms.known]
        found = self._arms.held_out(connection, [t.user for t in known], [t.dimension for t in known])
        out = iter(found.tolist())
        return [t.dimension in self._arms.known and next(out) for t in moved]

    def claim(self, name: str, holder: str, limit: int) -> Waiting | None:
        """Take what goes next to a destination; what a sender that is gone has taken goes first, as it was.

        Args:
            name: the destination.
            holder: who sends.
            limit: how many messages at most.

        Returns:
            None when nothing waits, the destination is paused or not to be tried yet, or somebody else sends to it.
        """
        mine, d, now = outbox.c.destination == name, destinations.c, self._clock.now()
        waits = mine & outbox.c.dead.is_(False)
        with self._live.reading() as connection:
            if connection.scalar(sa.select(outbox.c.id).where(waits).limit(1)) is None:
                return None
        with self._live.writing() as connection:
            self._there(connection, name)
            free = sa.or_(d.holder == holder, d.until <= now) & (d.wait_until <= now) & d.paused.is_(False)
            take = sa.update(destinations).where((d.name == name) & free).values(holder=holder, until=now + LEASE)
            if not connection.execute(take).rowcount:
                return None
            first = connection.execute(sa.select(outbox).where(waits).order_by(outbox.c.id).limit(1)).first()
            if first is None:
                return None
            if first.batch is not None:
                rows = connection.execute(
                    sa.select(outbox).where(waits & (outbox.c.batch == first.batch)).order_by(outbox.c.id)
                ).all()
                batch = first.batch
            else:
                free_rows = waits & outbox.c.batch.is_(None)
                rows = connection.execute(sa.select(outbox).where(free_rows).order_by(outbox.c.id).limit(limit)).all()
                batch = f"{self._definition.name}.{name}.{first.id}"
                ids = [row.id for row in rows]
                connection.execute(sa.update(outbox).where(outbox.c.id.in_(ids)).values(batch=batch))
            failures = connection.scalar(sa.select(d.failures).where(d.name == name)) or 0
        bodies = [json.loads(row.body) for row in rows]
        return Waiting(batch, [row.id for row in rows], bodies, min(row.created for row in rows), failures)

    def give_back(self, holder: str) -> None:
        """Leave the destinations to the process that sends next."""
        with self._live.writing() as connection:
            mine = destinations.c.holder == holder
            connection.execute(sa.update(destinations).where(mine).values(holder="", until=0))

    def delivered(self, name: str, batch: Waiting) -> None:
        """Take out what was delivered."""
        d = destinations.c
        done = sa.update(destinations).where(d.name == name)
        with self._live.writing() as connection:
            gone = connection.execute(sa.delete(outbox).where(outbox.c.id.in_(batch.ids))).rowcount
            connection.execute(done.values(failures=0, wait_until=0, error=None, delivered=d.delivered + gone))
            self._assignments.expose(connection, batch.bodies, DELIVERED, self._clock.now())
        if any(body["cause"] == ERASED for body in batch.bodies):
            self._live.settle()  # that was the last that named an erased user

    def farewells(self, users: Sequence[str]) -> int:
        """How many messages wait to tell that erased users have left; they go when they are delivered."""
        theirs = sa.select(outbox.c.body).where(outbox.c.user_id.in_(list(users)))
        with self._live.reading() as connection:
            return sum(json.loads(body)["cause"] == ERASED for body in connection.scalars(theirs))

    def wait(self, name: str, until: int, error: str) -> None:
        """Try a destination again later."""
        d = destinations.c
        with self._live.writing() as connection:
            change = {"failures": d.failures + 1, "wait_until": until, "error": error}
            connection.execute(sa.update(destinations).where(d.name == name).values(**change))

    def give_up(self, batch: Waiting, error: str) -> None:
        """Make dead letters of messages; of several, each is tried by itself first, and only who is at fault dies."""
        rows = sa.update(outbox).where(outbox.c.id.in_(batch.ids))
        with self._live.writing() as connection:
            if len(batch.ids) == 1:
                connection.execute(rows.values(dead=True, error=error))
                self._assignments.expose(connection, batch.bodies, FAILED, self._clock.now())
            else:
                own = sa.literal(f"{batch.id}.") + sa.cast(outbox.c.id, sa.String)
                connection.execute(rows.values(batch=own))

    def pause(self, name: str, *, paused: bool, error: str | None = None) -> None:
        """Stop sending to a destination, or go on at once; what comes meanwhile waits."""
        self._known(name)
        with self._live.writing() as connection:
            self._there(connection, name)
            change = {"paused": paused, "wait_until": 0, "error": error}
            connection.execute(sa.update(destinations).where(destinations.c.name == name).values(**change))

    def revive(self, name: str) -> int:
        """Try dead letters again; returns how many."""
        self._known(name)
        dead = (outbox.c.destination == name) & outbox.c.dead.is_(True)
        with self._live.writing() as connection:
            change = sa.update(outbox).where(dead).values(dead=False, batch=None, error=None)
            return int(connection.execute(change).rowcount)

    def dead(self, name: str | None = None, limit: int = 1_000) -> pl.DataFrame:
        """Dead letters: ``destination, id, error, body``."""
        o = outbox.c
        asked = sa.select(o.destination, o.key, o.error, o.body).where(o.dead.is_(True)).order_by(o.id).limit(limit)
        if name is not None:
            asked = asked.where(o.destination == name)
        with self._live.reading() as connection:
            rows = [tuple(row) for row in connection.execute(asked)]
        return pl.DataFrame(rows, schema=dict.fromkeys(("destination", "id", "error", "body"), pl.String), orient="row")

    def status(self) -> pl.DataFrame:
        """How it goes: ``destination, kind, waiting, dead, delivered, failures, paused, oldest, error``."""
        o, rows = outbox.c, []
        counts = sa.select(o.destination, o.dead, sa.func.count(), sa.func.min(o.created)).group_by(
            o.destination, o.dead
        )
        with self._live.reading() as connection:
            found = {(name, bool(dead)): (n, oldest) for name, dead, n, oldest in connection.execute(counts)}
            states = {row.name: row for row in connection.execute(sa.select(destinations))}
        for name, destination in self._definition.destinations.items():
            state = states.get(name)
            waiting, oldest = found.get((name, False), (0, None))
            rows.append(
                (name, destination.kind, waiting, found.get((name, True), (0, None))[0],
                 state.delivered if state else 0, state.failures if state else 0, bool(state and state.paused), oldest,
                 state.error if state else None)
            )  # fmt: skip
        schema = {"destination": pl.String, "kind": pl.String, "waiting": pl.Int64, "dead": pl.Int64,
                  "delivered": pl.Int64, "failures": pl.Int64, "paused": pl.Boolean, "oldest": pl.Int64,
                  "error": pl.String}  # fmt: skip
        return pl.DataFrame(rows, schema=schema, orient="row")

    def again(self, name: str, moved: Iterable[Transition], *, sync: str = "") -> int:
        """Put messages there that may have been delivered before; they keep their names.

        Returns:
            How many; those that still wait are not put there twice.
        """
        self._known(name)
        count, some = 0, list[Transition]()
        for transition in moved:
            some.append(transition)
            if len(some) == _CHUNK:
                count += self._put(name, some, sync)
                some = []
        return count + self._put(name, some, sync)

    def _put(self, name: str, some: Sequence[Transition], sync: str) -> int:
        with self._live.writing() as connection:
            return self.add(connection, some, only=name, sync=sync)

    def _known(self, name: str) -> None:
        if name not in self._definition.destinations:
            known = ", ".join(self._definition.destinations)
            fix = f"the destinations are {known}" if known else "the definition has none: add it to 'destinations'"
            raise PropensityError(f"there is no destination {name!r}.", fix=fix)

    def _there(self, connection: sa.Connection, name: str) -> None:
        connection.execute(insert(destinations, connection).on_conflict_do_nothing(), [{"name": name}])
