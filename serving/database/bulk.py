"""Many rows and many values in one statement: what a server's driver would take row by row, and value by value."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa


def among(connection: sa.Connection, column: sa.Column[Any], values: Sequence[object]) -> sa.ColumnElement[bool]:
    """Whether a column holds one of some values; PostgreSQL is sent one array: its driver parses each parameter."""
    if connection.dialect.name == "postgresql":
        return column == sa.any_(sa.literal(list(values), sa.ARRAY(column.type)))
    return column.in_(values)


def by_index(connection: sa.Connection) -> None:
    """Look rows up by their index until the transaction ends.

    PostgreSQL takes a table that it has not analysed yet for one in which each value stands often, and would read all
    of it: for its first minute under load that took a hundred times as long. What has no index is read all the same,
    at an estimate so high that it would be compiled first, which takes 40 ms: so nothing is.
    """
    if connection.dialect.name == "postgresql":
        off = (sa.func.set_config(name, "off", True) for name in ("enable_seqscan", "jit"))
        connection.execute(sa.select(*off))


def add_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows of the same columns; PostgreSQL is sent one document: a fifth of the time that rows take."""
    if connection.dialect.name != "postgresql":
        connection.execute(sa.insert(table), rows)
        return
    names, dialect = list(rows[0]), connection.dialect
    types = ", ".join(f"{name} {table.c[name].type.compile(dialect)}" for name in names)
    read = sa.text(f"SELECT {', '.join(names)} FROM json_to_recordset(CAST(:rows AS json)) AS r({types})")  # noqa: S608
    found = read.bindparams(rows=json.dumps(rows)).columns(*(sa.column(name) for name in names))
    connection.execute(sa.insert(table).from_select(names, found))
