"""Which log a live log is, how far it has come, and how it goes on in the place of another."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from serving.database.schema import new_id
from serving.database.tables import events, log_ids, log_state, pruned_ids


@dataclass(frozen=True, slots=True)
class LogState:
    """Which log this is, and how far it has come.

    Attributes:
        ids: its random ids, its own last; the others are those of logs whose positions it goes on from.
        position: the highest position that was ever given, whether or not its message is still here.
        pruned: messages through this position may not be here any more, because files hold them.
        refused: why nothing may be derived from it until it is adopted; empty when all is well.
    """

    ids: tuple[str, ...]
    position: int
    pruned: int
    refused: str

    @property
    def id(self) -> str:
        """The log's own id."""
        return self.ids[-1]

    @classmethod
    def read(cls, connection: sa.Connection) -> "LogState":
        """The state of a database's log."""
        row = connection.execute(sa.select(log_state)).one()
        ids = tuple(connection.scalars(sa.select(log_ids.c.id).order_by(log_ids.c.number)))
        return cls(ids, row.position, row.pruned, row.refused or "")


def adopt_log(
    connection: sa.Connection, ancestors: Collection[str], floor: int, unread: int | None, pruned: int
) -> None:
    """Give a log a new id; see `LiveLog.adopt`."""
    state = LogState.read(connection)
    top = max(floor, state.position)
    if unread is not None:
        top += _move_up(connection, unread, floor, top)
    more = [name for name in dict.fromkeys(ancestors) if name and name not in state.ids]
    rows = [{"number": i, "id": name} for i, name in enumerate([*more, new_id()], len(state.ids) + 1)]
    connection.execute(sa.insert(log_ids), rows)
    connection.execute(sa.update(log_state).values(position=top, refused=None, pruned=pruned))
    if pruned < state.pruned:
        # files may lack messages that were pruned: sending them again must not be answered as if they were there
        connection.execute(sa.delete(pruned_ids))


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
