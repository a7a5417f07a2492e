"""The tables of the live log, in SQLite or PostgreSQL."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, String, Table, Text

from features.system.files.durable import new_folder
from features.system.files.same_file import SameFile

metadata = sa.MetaData()
#: the type of rows' own numbers; SQLite counts only integers up
NUMBER = BigInteger().with_variant(Integer, "sqlite")

#: accepted messages, in the order in which they were accepted; of one id the newest arrival counts. ``stated`` is when
#: it happened by the sender's clock, ``corrects`` says that a message of its id was accepted before
events = Table(
    "live_events",
    metadata,
    Column("position", NUMBER, primary_key=True, autoincrement=True),
    Column("message_id", String, nullable=False),
    Column("user_id", String, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("event", String, nullable=False),
    Column("happened", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("stated", BigInteger),
    Column("corrects", Boolean, nullable=False, server_default=sa.false()),
    Column("body", Text, nullable=False),
    Index("live_events_by_id", "message_id"),
    Index("live_events_by_user", "user_id", "position"),
    Index("live_events_by_shard", "shard", "position"),
    sqlite_autoincrement=True,
)

#: what repeats of messages that were pruned are known by: 64 bits of the id, of who sent it and of what it says
pruned_ids = Table(
    "live_pruned_ids",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_hash", BigInteger, nullable=False),
    Column("kind", String, nullable=False),
    Column("content", BigInteger, nullable=False),
    Column("stated", BigInteger),
    Column("arrived", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
)

#: one row: the version of the tables, the highest position ever given, through which messages may be in
#: files only, and why the log must not be read on, once that was found out
log_state = Table(
    "live_state",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("schema", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("pruned", BigInteger, nullable=False),
    Column("refused", Text),
)

#: the random ids of this log, the newest last: its own, and those of the logs whose positions it goes on from
log_ids = Table(
    "live_log_ids",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", String, nullable=False),
)

#: messages that were refused, or could not be folded, with the reason
dead = Table(
    "live_dead_letters",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("received", BigInteger, nullable=False),
    Column("stage", String, nullable=False),
    Column("code", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message_id", String),
    Column("user_id", String),
    Column("body", Text, nullable=False),
    Column("replayed", Boolean, nullable=False, default=False),
    sqlite_autoincrement=True,
)

#: who folds which part of the users, and until when
shards = Table(
    "live_shards",
    metadata,
    Column("shard", Integer, primary_key=True),
    Column("holder", String, nullable=False),
    Column("until", BigInteger, nullable=False),
)
workers = Table(
    "live_workers", metadata, Column("holder", String, primary_key=True), Column("until", BigInteger, nullable=False)
)

#: answers of the service that the monitor has not read yet; ``day`` is the first instant of a day of UTC, ``lot`` a
#: number of the user and day by which those are drawn that stay where there are too many
answers = Table(
    "live_answers",
    metadata,
    Column("outcome", String, primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", String, primary_key=True),
    Column("lot", Double, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("version", String, nullable=False),
    Column("answer", Double, nullable=False),
    Column("tier", String),
    Column("state", String),
    Index("live_answers_by_lot", "outcome", "day", "lot"),
    Index("live_answers_by_user", "user_id"),
)

#: erased users, by the digest of `Tombstones`; and by 64 bits, those of before there were digests
erased = Table("live_tombstones", metadata, Column("digest", String, primary_key=True))
erased_before = Table("live_erased", metadata, Column("user_hash", BigInteger, primary_key=True, autoincrement=False))

#: of each partition the offset of the next message to read; and of the last one that was read, its offset, time
#: (milliseconds) and size (bytes, -1 of none), by which another topic of the same name is noticed
topic_offsets = Table(
    "live_topic_offsets",
    metadata,
    Column("topic", String, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
)

#: who reads a topic, and until when
topic_readers = Table(
    "live_topic_readers",
    metadata,
    Column("topic", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("until", BigInteger, nullable=False),
)

#: write keys and tokens, hashed
keys = Table(
    "live_keys",
    metadata,
    Column("hash", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("role", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
)

#: rows of one statement; SQLite takes 32,766 values
CHUNK = 1_000

T = TypeVar("T")

#: into how many parts users are spread over workers
SHARDS = 8

#: one after the other: appends, so that positions are committed in the order in which they were given; and moves, so
#: that nobody is moved twice
APPENDING, MOVING = 7_404_318, 7_404_319


def sqlite_file(url: sa.URL) -> Path:
    """The file of an SQLite database; its address may be a path or, with ``uri=true``, begin with ``file:``."""
    return Path(str(url.database).removeprefix("file:")).absolute()


def engine_of(url: str | sa.URL) -> sa.Engine:
    """Open a live log's database."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        new_folder(sqlite_file(parsed).parent)
        engine = sa.create_engine(
            parsed, hide_parameters=True, connect_args={"timeout": 10, "check_same_thread": False}
        )
        sa.event.listen(engine, "connect", _sqlite_connected)
        _keep_in_place(engine, sqlite_file(parsed))
        sa.event.listen(engine, "begin", _sqlite_begins)
    else:
        wait: dict[str, Any] = {"connect_timeout": 3} if "connect_timeout" not in parsed.query else {}
        if parsed.get_driver_name() == "psycopg":
            wait |= {"prepare_threshold": None}  # a plan that was kept while a table was small would stay when it grows
        engine = sa.create_engine(parsed, hide_parameters=True, pool_pre_ping=True, pool_size=4, connect_args=wait)
    return engine


def _sqlite_connected(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # what was acknowledged is on the disk
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten


def _keep_in_place(engine: sa.Engine, path: Path) -> None:
    """Refuse connections, new ones too, once another file has the place of the one that was opened first."""
    first: list[SameFile] = []

    def check_reading(*_: Any) -> None:
        if not first:
            first.append(SameFile(path))
        first[0].check_reading()

    def check(connection: sa.Connection) -> None:
        if not connection.get_execution_options().get("reading"):
            first[0].check()

    sa.event.listen(engine, "checkout", check_reading)
    sa.event.listen(engine, "begin", check)


def _sqlite_begins(connection: sa.Connection) -> None:
    # a transaction that reads before it writes would meet another writer half-way
    if not connection.get_execution_options().get("reading"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def one_at_a_time(connection: sa.Connection, what: int = APPENDING) -> None:
    """Hold up others who do the same until this transaction ends; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(what)))


def insert(table: Table, connection: sa.Connection) -> Any:
    """An insert that can say what happens when a row is there already."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table)
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table)


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Items, as many at a time as one statement takes."""
    return (items[lo : lo + CHUNK] for lo in range(0, len(items), CHUNK))
