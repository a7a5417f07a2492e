"""The schema of the live log's database: its version, the steps from older ones, and what is missing of it."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from features.errors import DatabaseError
from serving.database.tables import APPENDING, SHARDS, engine_of, events, log_ids, log_state, metadata, shards

#: the version that this code reads and writes
VERSION = 4


def new_id() -> str:
    """A random id of a log."""
    return secrets.token_hex(8)


def connect(url: str | sa.URL) -> sa.Engine:
    """Open a live log's database, with its tables as this version wants them."""
    engine = engine_of(url)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":  # two servers that start at once
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(APPENDING)))
            prepare(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def prepare(connection: sa.Connection) -> None:
    """Make the tables that are not there yet, and bring those of an older version forward.

    Raises:
        DatabaseError: the tables are of a newer version, or lack a column.
    """
    there = set(sa.inspect(connection).get_table_names())
    version = _version(connection, there)
    if version > VERSION:
        raise DatabaseError(
            f"the live log's tables are of version {version}, and this program knows versions up to {VERSION}.",
            fix="run the newer program that made them, or restore a backup from before it",
        )
    metadata.create_all(connection)
    if not version:
        connection.execute(sa.insert(log_state).values(one=1, schema=VERSION, position=0, pruned=0))
        connection.execute(sa.insert(log_ids).values(number=1, id=new_id()))
    for step in range(version or VERSION, VERSION):
        MIGRATIONS[step](connection)
        connection.execute(sa.update(log_state).values(schema=step + 1))
    check_columns(connection, metadata)
    known = set(connection.scalars(sa.select(shards.c.shard)))
    missing = [{"shard": i, "holder": "", "until": 0} for i in range(SHARDS) if i not in known]
    if missing:
        connection.execute(sa.insert(shards), missing)


def check_columns(connection: sa.Connection, wanted: sa.MetaData) -> None:
    """Look whether tables have all their columns: making tables looks at their names only.

    Raises:
        DatabaseError: one has not.
    """
    inspector = sa.inspect(connection)
    for table in wanted.sorted_tables:
        found = {column["name"] for column in inspector.get_columns(table.name)}
        missing = [column.name for column in table.columns if column.name not in found]
        if missing:
            raise DatabaseError(
                f"the table {table.name} of the live log's database has no column {', '.join(missing)}.",
                fix="restore the database from a backup; a table of this name that something else made must be renamed",
            )


def _version(connection: sa.Connection, there: set[str]) -> int:
    """The version of the tables; 0 where there are none."""
    if log_state.name in there and (found := connection.scalar(sa.select(log_state.c.schema))) is not None:
        return int(found)
    return 1 if events.name in there else 0


def _to_2(connection: sa.Connection) -> None:
    """Version 1 had no id, and let the database count positions: the highest it ever gave is not reused."""
    given = int(connection.scalar(sa.select(sa.func.max(events.c.position))) or 0)
    if connection.dialect.name == "sqlite":
        counted = "SELECT seq FROM sqlite_sequence WHERE name = 'live_events'"
    else:
        counted = "SELECT last_value FROM pg_sequences WHERE sequencename = 'live_events_position_seq'"
    given = max(given, int(connection.scalar(sa.text(counted)) or 0))
    connection.execute(sa.delete(log_state))
    connection.execute(sa.insert(log_state).values(one=1, schema=1, position=given, pruned=0))
    connection.execute(sa.insert(log_ids).values(number=1, id=new_id()))


def _to_3(connection: sa.Connection) -> None:
    """Up to version 2 a message could not be corrected: an id had one row."""
    if connection.dialect.name == "sqlite":  # cannot drop what makes a column unique: the table is written again
        names = [column["name"] for column in sa.inspect(connection).get_columns(events.name)]
        connection.execute(sa.text(f"ALTER TABLE {events.name} RENAME TO {events.name}_before"))
        for index in sa.inspect(connection).get_indexes(f"{events.name}_before"):
            connection.execute(sa.text(f"DROP INDEX {index['name']}"))
        events.create(connection)
        before = sa.table(f"{events.name}_before", *(sa.column(name) for name in names))
        connection.execute(sa.insert(events).from_select(names, sa.select(before)))
        connection.execute(sa.text(f"DROP TABLE {events.name}_before"))
        return
    for constraint in sa.inspect(connection).get_unique_constraints(events.name):
        connection.execute(sa.text(f'ALTER TABLE {events.name} DROP CONSTRAINT "{constraint["name"]}"'))
    connection.execute(sa.text(f"ALTER TABLE {events.name} ADD COLUMN stated BIGINT"))
    connection.execute(sa.text(f"ALTER TABLE {events.name} ADD COLUMN corrects BOOLEAN NOT NULL DEFAULT false"))
    next(index for index in events.indexes if index.name == "live_events_by_id").create(connection)


def _to_4(connection: sa.Connection) -> None:
    """Up to version 3 the table of memberships, which is made when the first are recorded, had other names."""
    if "handoff_standings" not in sa.inspect(connection).get_table_names():
        return
    for change in (
        "ALTER TABLE handoff_standings RENAME TO handoff_memberships",
        "ALTER TABLE handoff_memberships RENAME COLUMN told TO summary",
        "ALTER TABLE handoff_memberships RENAME COLUMN held TO content",
        "DROP INDEX ix_handoff_standings_due",
        "CREATE INDEX ix_handoff_memberships_due ON handoff_memberships (due)",
    ):
        connection.execute(sa.text(change))


#: from a version to the next; the tables of the newest version are there already, without their rows
MIGRATIONS: Mapping[int, Callable[[sa.Connection], Any]] = {1: _to_2, 2: _to_3, 3: _to_4}
