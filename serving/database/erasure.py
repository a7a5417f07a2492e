"""Users in the live log's database: in every table that names users, and in dead letters, however those spell them."""

import json
import re
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from features.events.tombstones import digest_of
from features.reading.live_messages import ALIAS
from features.system.mentions import Mentions
from features.user_id import UserIdError, user_id
from serving.database.bulk import among
from serving.database.log.dead_letters import DeadLetter
from serving.database.log.message_rows import digest_64, hash_of
from serving.database.tables import CHUNK, answers, chunks, dead, erased, erased_before, events, insert, pruned_ids

#: where messages say who they are of; a letter may be cut off, so that it is no JSON
_USER_IDS = re.compile(r'"(?:userId|anonymousId|previousId|user_id)"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*)')


def erase(connection: sa.Connection, users: Sequence[str]) -> dict[str, int]:
    """Remove what the log holds of users, and keep them out from now on; returns how many rows went, by place."""
    rows = [{"digest": digest_of(user)} for user in users]
    connection.execute(insert(erased, connection).on_conflict_do_nothing(), rows)
    aliases = (events.c.kind == ALIAS) & events.c.event.in_(users)
    live = connection.execute(sa.delete(events).where(events.c.user_id.in_(users) | aliases)).rowcount
    ids = connection.execute(sa.delete(pruned_ids).where(_pruned_of(users))).rowcount
    removed = connection.execute(sa.delete(answers).where(answers.c.user_id.in_(users))).rowcount
    letters = remove_letters(connection, users)
    return {"live events": int(live), "ids of pruned events": int(ids), "live answers": int(removed),
            "dead letters": letters}  # fmt: skip


def erased_among(connection: sa.Connection, users: Sequence[str]) -> set[str]:
    """Those of some users who were erased."""
    found: set[str] = set()
    for some in chunks(list(dict.fromkeys(users))):
        digests, keys = {digest_of(user): user for user in some}, dict(zip(hash_of(some), some, strict=True))
        known = connection.scalars(sa.select(erased.c.digest).where(among(connection, erased.c.digest, list(digests))))
        found |= {digests[digest] for digest in known}
        older = sa.select(erased_before.c.user_hash).where(among(connection, erased_before.c.user_hash, list(keys)))
        found |= {keys[key] for key in connection.scalars(older)}
    return found


def not_of_erased(connection: sa.Connection, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
    """The letters that are not of erased users."""
    named = [users_named(letter.body) | ({letter.user} if letter.user else set()) for letter in letters]
    gone = erased_among(connection, sorted(set().union(*named)))
    return [letter for letter, users in zip(letters, named, strict=True) if users.isdisjoint(gone)]


def users_named(body: str) -> set[str]:
    """The users that a message as it came speaks of, as they are taken in."""
    found = set()
    for text in _USER_IDS.findall(body):
        try:
            found.add(user_id(json.loads(text)))
        except (ValueError, UserIdError):
            continue  # nobody can have this id
    return found


def letters_of(connection: sa.Connection, users: Collection[str]) -> list[int]:
    """The numbers of dead letters that are of users, or name them anywhere."""
    names, mentions = set(users), Mentions(users)
    found: list[int] = []
    since = 0
    asked = sa.select(dead.c.id, dead.c.user_id, dead.c.message_id, dead.c.body, dead.c.reason).order_by(dead.c.id)
    while rows := connection.execute(asked.where(dead.c.id > since).limit(CHUNK)).all():
        since = rows[-1].id
        for row in rows:
            theirs = (row.user_id or "").strip() in names or not names.isdisjoint(users_named(row.body))
            if theirs or mentions.in_text(f"{row.body} {row.message_id} {row.reason}"):
                found.append(row.id)
    return found


def remove_letters(connection: sa.Connection, users: Collection[str]) -> int:
    """Remove the dead letters `letters_of` finds; returns how many."""
    numbers = letters_of(connection, users)
    for some in chunks(numbers):
        connection.execute(sa.delete(dead).where(dead.c.id.in_(some)))
    return len(numbers)


def rows_of(connection: sa.Connection, users: Sequence[str]) -> dict[str, int]:
    """How many rows of users there are, by table, of all tables that have a column ``user_id``."""
    found, inspector = {}, sa.inspect(connection)
    for name in inspector.get_table_names():
        if name == dead.name:
            found[name] = len(letters_of(connection, users))
        elif name == pruned_ids.name:
            found[name] = int(connection.scalar(sa.select(sa.func.count()).where(_pruned_of(users))) or 0)
        elif any(column["name"] == "user_id" for column in inspector.get_columns(name)):
            table = sa.table(name, sa.column("user_id"))
            theirs = sa.select(sa.func.count()).select_from(table).where(table.c.user_id.in_(list(users)))
            found[name] = int(connection.scalar(theirs) or 0)
    return found


def _pruned_of(users: Sequence[str]) -> sa.ColumnElement[bool]:
    return pruned_ids.c.user_hash.in_([digest_64(user) for user in users])
