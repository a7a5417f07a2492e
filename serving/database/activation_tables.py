"""The tables of the hand-off, in the database of the live log."""

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text, UniqueConstraint

from serving.database.log.live_log import LiveLog
from serving.database.schema import check_columns
from serving.database.tables import NUMBER, one_at_a_time

metadata = sa.MetaData()

#: what each user is in, as ``content``; ``summary`` is the same in short, to see whose changed without reading that
memberships = Table(
    "handoff_memberships",
    metadata,
    Column("user_id", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("due", BigInteger, index=True),
    Column("summary", Text, nullable=False),
    Column("content", Text, nullable=False),
)

#: who moved, and why; rows are only ever added, but for those of erased users
transitions = Table(
    "handoff_transitions",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("user_id", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("dimension", String, nullable=False),
    Column("before", String),
    Column("after", String),
    Column("cause", String, nullable=False),
    Column("scores_before", Text, nullable=False),
    Column("scores_after", Text, nullable=False),
    Column("models", Text, nullable=False),
    Column("definition", String, nullable=False),
    Index("handoff_transitions_by_user", "user_id", "id"),
    Index("handoff_transitions_by_dimension", "dimension", "id"),
    sqlite_autoincrement=True,
)

#: the rules of each definition seen, as digests, to tell which transitions a new one has caused
definitions = Table(
    "handoff_definitions",
    metadata,
    Column("version", String, primary_key=True),
    Column("rules", Text, nullable=False),
)

#: the batches whose transitions are all recorded
scorings = Table(
    "handoff_scorings",
    metadata,
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("models", Text, nullable=False),
    Column("definition", String, nullable=False),
)

#: of merged users the id by which their holdout is drawn, and the dimensions in which they were in both arms (JSON)
arms = Table(
    "handoff_arms",
    metadata,
    Column("user_id", String, primary_key=True),
    Column("drawn_as", String, nullable=False),
    Column("mixed", Text, nullable=False),
)

#: the experiments seen, as their definitions had them; each edit makes another one
experiments = Table(
    "handoff_experiments",
    metadata,
    Column("id", String, primary_key=True),
    Column("content", Text, nullable=False),
)

#: who was assigned which variant of an experiment, when, what was predicted then (JSON), and whether it arrived
assignments = Table(
    "handoff_assignments",
    metadata,
    Column("experiment", String, primary_key=True),
    Column("user_id", String, primary_key=True),
    Column("variant", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("predicted", Text, nullable=False),
    Column("exposure", String, nullable=False),
    Column("exposed_at", BigInteger),
    Column("mixed", Boolean, nullable=False, default=False),
    Index("handoff_assignments_by_user", "user_id"),
)

#: messages to destinations, each until it is delivered; ``batch`` names the request they go with, once they do
outbox = Table(
    "handoff_outbox",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("destination", String, nullable=False),
    Column("key", String, nullable=False),
    Column("user_id", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("batch", String),
    Column("body", Text, nullable=False),
    Column("dead", Boolean, nullable=False, default=False),
    Column("error", Text),
    UniqueConstraint("destination", "key"),
    Index("handoff_outbox_next", "destination", "dead", "id"),
    Index("handoff_outbox_by_user", "user_id"),
    sqlite_autoincrement=True,
)

#: how it goes with each destination, and who is sending to it until when
destinations = Table(
    "handoff_destinations",
    metadata,
    Column("name", String, primary_key=True),
    Column("paused", Boolean, nullable=False, default=False),
    Column("holder", String, nullable=False, default=""),
    Column("until", BigInteger, nullable=False, default=0),
    Column("wait_until", BigInteger, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("delivered", BigInteger, nullable=False, default=0),
    Column("error", Text),
)


def make_tables(live: LiveLog) -> None:
    """Make what is not there yet, in the database of a live log."""
    with live.writing() as connection:
        one_at_a_time(connection)  # two servers that start at once
        metadata.create_all(connection)
        check_columns(connection, metadata)
