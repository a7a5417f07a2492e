"""The tables of the console, in the database of the live log: who signs in, what was done, drafts, a secret."""

import secrets

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, Text

from serving.database.log.live_log import LiveLog
from serving.database.schema import check_columns
from serving.database.tables import NUMBER, insert, one_at_a_time

metadata = MetaData()

#: who is signed in; a session is found by the SHA-256 of what its cookie holds
sessions = Table(
    "console_sessions",
    metadata,
    Column("hash", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("roles", Text, nullable=False),
    Column("key_hash", String),
    Column("csrf", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
)

#: who is on the way to sign in at a provider; found by the SHA-256 of what comes back, and of what the browser keeps
logins = Table(
    "console_logins",
    metadata,
    Column("state_hash", String, primary_key=True),
    Column("browser_hash", String, nullable=False),
    Column("nonce", String, nullable=False),
    Column("verifier", String, nullable=False),
    Column("onward", Text, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
)

#: who did what; rows are only ever added, and each holds the hash of the one before
actions = Table(
    "console_actions",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("who", String, nullable=False),
    Column("origin", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("hash", String, nullable=False),
    sqlite_autoincrement=True,
)

#: segments that are being written in the console, as JSON of their keys
drafts = Table(
    "console_drafts",
    metadata,
    Column("name", String, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("who", String, nullable=False),
    Column("at", BigInteger, nullable=False),
)

#: segments as they were published; null content where one was taken back
publications = Table(
    "console_publications",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("name", String, nullable=False, index=True),
    Column("content", Text, nullable=False),
    Column("who", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
    Column("effect", Text, nullable=False),
    sqlite_autoincrement=True,
)

#: one row: the secret that ids of users are encrypted with in addresses of pages
secret = Table(
    "console_secret",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("value", LargeBinary, nullable=False),
)


def make_tables(live: LiveLog) -> None:
    """Make what is not there yet, in the database of a live log."""
    with live.writing() as connection:
        one_at_a_time(connection)  # two servers that start at once
        metadata.create_all(connection)
        check_columns(connection, metadata)
        row = {"one": 1, "value": secrets.token_bytes(64)}
        connection.execute(insert(secret, connection).on_conflict_do_nothing(), [row])


def secret_of(live: LiveLog) -> bytes:
    """The secret, 64 random bytes; all processes of a live log have the same one."""
    with live.reading() as connection:
        return bytes(connection.scalars(sa.select(secret.c.value)).one())
