"""Arrow rows into DuckDB and out of it: on their way, never all at once."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from features.engines.duckdb import Connection, quote, rows_of, text, user_sql


def registered(connection: Connection, name: str, rows: pa.RecordBatchReader | pa.Table) -> str:
    """Make Arrow rows a table of a connection, to be read once where they are on their way; returns its name."""
    connection.register(name, rows)
    return quote(name)


def spill(connection: Connection, folder: Path) -> None:
    """Say where a connection puts what does not fit into memory."""
    connection.execute(f"SET temp_directory = {text(str(folder))}")


def batches(connection: Connection, sql: str, size: int, *, in_order: bool) -> pa.RecordBatchReader:
    """Stream the rows of a query; where their order does not matter, all cores read."""
    connection.execute(f"SET preserve_insertion_order = {str(in_order).lower()}").fetchall()
    return connection.sql(sql).to_arrow_reader(size)


def with_texts(connection: Connection, source: str, user: str, others: Sequence[str]) -> str:
    """SQL of rows whose ids are text: users in their normal form, others as they are written.

    Args:
        connection: a connection.
        source: SQL that names the rows.
        user: the column of users; one of broken numbers stays, so that its rounded values are found.
        others: columns of other ids and names.
    """
    types = {row[0]: row[1] for row in rows_of(connection, f"DESCRIBE SELECT * FROM {source}")}

    def column(name: str, dtype: str) -> str:
        if name == user and dtype not in ("DOUBLE", "FLOAT"):
            return f"{user_sql(name, dtype)} AS {quote(name)}"
        return f"CAST({quote(name)} AS VARCHAR) AS {quote(name)}" if name in others else quote(name)

    return f"SELECT {', '.join(column(name, dtype) for name, dtype in types.items())} FROM {source}"


def without(connection: Connection, sql: str, files: Sequence[Path]) -> str:
    """SQL of the rows of a query that some Parquet files do not have; each row of theirs takes away one like it."""
    listed = "[" + ", ".join(text(str(file)) for file in files) + "]"
    known = f"read_parquet({listed}, union_by_name = true, hive_partitioning = false)"
    names = [row[0] for row in rows_of(connection, f"DESCRIBE {sql}")]
    there = {row[0] for row in rows_of(connection, f"DESCRIBE SELECT * FROM {known}")}
    columns = ", ".join(quote(name) if name in there else "NULL" for name in names)
    return f"{sql} EXCEPT ALL SELECT {columns} FROM {known}"
