"""Arms of merged users: by which id the holdout of each is drawn, and who was in both arms of something."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from features.definition.schema import Definition
from segments.holdout import Holdout
from serving.database.activation_tables import arms, memberships, transitions
from serving.database.tables import CHUNK, chunks, insert


class Arm(NamedTuple):
    """What is kept of a merged user.

    Attributes:
        drawn_as: the id by which the user's holdout is drawn.
        mixed: the dimensions in which the user was treated under one id and held out under another.
    """

    drawn_as: str
    mixed: frozenset[str] = frozenset()


class Arms:
    """Who is held out of what, the same for all ids of a person.

    Args:
        definition: its name and shares.
    """

    def __init__(self, definition: Definition) -> None:
        self._holdout, self._merges = Holdout(definition), definition.identities is not None

    @property
    def known(self) -> Mapping[str, int]:
        """The dimensions there are."""
        return self._holdout.known

    def held_out(self, connection: sa.Connection, users: Sequence[str], dimensions: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each user is held out of the dimension beside them."""
        return self._holdout.of(self.keys(connection, users), dimensions)

    def keys(self, connection: sa.Connection, users: Sequence[str]) -> list[str]:
        """The id by which each user is drawn."""
        kept = self.of(connection, users)
        return [kept[user].drawn_as if user in kept else user for user in users]

    def of(self, connection: sa.Connection, users: Sequence[str]) -> dict[str, Arm]:
        """What is kept of some users; of most there is nothing."""
        if not self._merges or not users:
            return {}
        if len(users) > CHUNK:
            asked_for = set(users)
            return {user: arm for user, arm in self.everybody(connection).items() if user in asked_for}
        rows = connection.execute(sa.select(arms).where(arms.c.user_id.in_(set(users))))
        return {row.user_id: _arm(row) for row in rows}

    def everybody(self, connection: sa.Connection) -> dict[str, Arm]:
        """What is kept of all of whom there is anything."""
        return {row.user_id: _arm(row) for row in connection.execute(sa.select(arms))}

    def draw(self, connection: sa.Connection, drawn_as: Mapping[str, str], users: Sequence[str] | None = None) -> None:
        """Set by which id holdouts are drawn from now on.

        Args:
            connection: a transaction.
            drawn_as: that id of each user for whom it is another than the user's own.
            users: of these only; of everybody when left out.
        """
        if not self._merges:
            return
        was = self.everybody(connection) if users is None else self.of(connection, users)
        mine = drawn_as if users is None else {user: drawn_as[user] for user in users if user in drawn_as}
        now = {user: Arm(mine.get(user, user), arm.mixed) for user, arm in was.items()}
        now |= {user: Arm(key) for user, key in mine.items() if user not in was}
        self._keep(connection, {user: arm for user, arm in now.items() if was.get(user) != arm})

    def merge(self, connection: sa.Connection, merged: Mapping[str, str], drawn_as: Mapping[str, str]) -> None:
        """Draw merged users by one id, and mark who was in both arms.

        Args:
            connection: a transaction; the memberships of the ids are still there.
            merged: by id the user to whom it belongs now.
            drawn_as: the id by which a user's holdout is drawn, where that is another.
        """
        ids = sorted({*merged, *merged.values()})
        was, entered = self.of(connection, ids), self._entered(connection, ids)
        alone = {one: was.get(one, Arm(one)) for one in ids}
        now = {user: Arm(drawn_as.get(user, user), alone[user].mixed) for user in merged.values()}
        for one in ids:
            user = merged.get(one, one)
            mixed, dimensions = alone[one].mixed, sorted(entered.get(one, set()) & self.known.keys())
            before, after = (
                self._holdout.of([arm.drawn_as] * len(dimensions), dimensions) for arm in (alone[one], now[user])
            )
            mixed |= {name for name, other in zip(dimensions, before != after, strict=True) if other}
            now[user] = Arm(now[user].drawn_as, now[user].mixed | mixed)
        self._keep(connection, now)
        for some in chunks(sorted(merged.keys() - set(merged.values()))):
            connection.execute(sa.delete(arms).where(arms.c.user_id.in_(some)))

    def _entered(self, connection: sa.Connection, users: Sequence[str]) -> dict[str, set[str]]:
        """The dimensions in which each user ever was something."""
        t, m = transitions.c, memberships.c
        found: dict[str, set[str]] = {}
        for some in chunks(list(users)):
            moved = sa.select(t.user_id, t.dimension).where(t.user_id.in_(some) & t.after.is_not(None)).distinct()
            for user, dimension in connection.execute(moved):
                found.setdefault(user, set()).add(dimension)
            for user, content in connection.execute(sa.select(m.user_id, m.content).where(m.user_id.in_(some))):
                found.setdefault(user, set()).update(json.loads(content)[0])
        return found

    def _keep(self, connection: sa.Connection, now: Mapping[str, Arm]) -> None:
        """Keep arms; there is nothing to keep of who was always in one, by an id of their own."""
        kept = {user: arm for user, arm in now.items() if arm.drawn_as != user or arm.mixed}
        for some in chunks(sorted(now)):
            connection.execute(sa.delete(arms).where(arms.c.user_id.in_(some)))
        if kept:
            rows = [{"user_id": user, "drawn_as": arm.drawn_as, "mixed": json.dumps(sorted(arm.mixed))}
                    for user, arm in kept.items()]  # fmt: skip
            connection.execute(insert(arms, connection), rows)


def _arm(row: sa.Row[tuple[str, str, str]]) -> Arm:
    return Arm(row.drawn_as, frozenset(json.loads(row.mixed)))
