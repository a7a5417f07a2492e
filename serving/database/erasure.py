"""Users in the live log's database: in every table that names users, and in dead letters, however those spell them."""

import json
import re
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from features.system.mentions import Mentions
from features.user_id import UserIdError, user_id
from serving.database.tables import dead

#: where messages say who they are of; a letter may be cut off, so that it is no JSON
_SAID = re.compile(r'"(?:userId|anonymousId|previousId|user_id)"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*)')

_CHUNK = 1_000


def users_said(body: str) -> set[str]:
    """The users that a message as it came speaks of, as they are taken in."""
    found = set()
    for said in _SAID.findall(body):
        try:
            found.add(user_id(json.loads(said)))
        except (ValueError, UserIdError):
            continue  # nobody can have this id
    return found


def letters_of(connection: sa.Connection, users: Collection[str]) -> list[int]:
    """The numbers of dead letters that are of users, or name them anywhere."""
    names, mentions = set(users), Mentions(users)
    found: list[int] = []
    since = 0
    asked = sa.select(dead.c.id, dead.c.user_id, dead.c.message_id, dead.c.body, dead.c.reason).order_by(dead.c.id)
    while rows := connection.execute(asked.where(dead.c.id > since).limit(_CHUNK)).all():
        since = rows[-1].id
        for row in rows:
            theirs = (row.user_id or "").strip() in names or not names.isdisjoint(users_said(row.body))
            if theirs or mentions.in_text(f"{row.body} {row.message_id} {row.reason}"):
                found.append(row.id)
    return found


def remove_letters(connection: sa.Connection, users: Collection[str]) -> int:
    """Remove the dead letters `letters_of` finds; returns how many."""
    numbers = letters_of(connection, users)
    for lo in range(0, len(numbers), _CHUNK):
        connection.execute(sa.delete(dead).where(dead.c.id.in_(numbers[lo : lo + _CHUNK])))
    return len(numbers)


def rows_of(connection: sa.Connection, users: Sequence[str]) -> dict[str, int]:
    """How many rows of users there are, by table: of all tables that have a column ``user_id``, whoever made them."""
    found, inspector = {}, sa.inspect(connection)
    for name in inspector.get_table_names():
        if name == dead.name:
            found[name] = len(letters_of(connection, users))
        elif any(column["name"] == "user_id" for column in inspector.get_columns(name)):
            table = sa.table(name, sa.column("user_id"))
            theirs = sa.select(sa.func.count()).select_from(table).where(table.c.user_id.in_(list(users)))
            found[name] = int(connection.scalar(theirs) or 0)
    return found
