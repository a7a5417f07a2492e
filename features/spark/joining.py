"""Rows that are worked on together with the events of a user: those of a table, and of ids that were ever merged."""

from pathlib import Path

import polars as pl
from pyspark.sql import DataFrame

from features.identities.people import People
from features.spark.partitions import ROW, TOGETHER, column_beside
from features.system.files.durable import new_folder


def with_table(events: DataFrame, table: pl.DataFrame, folder: Path) -> DataFrame:
    """The rows of events, and between them those of a table, which have no time.

    Args:
        events: the log's rows.
        table: has a column ``user``.
        folder: the table is written there, where executors read it.
    """
    new_folder(folder)
    columns = {name: column_beside(i) for i, name in enumerate(names_beside(table))}
    table.rename(columns).with_row_index(ROW).cast({ROW: pl.Int64}).write_parquet(folder / "rows.parquet")
    rows = events.sparkSession.read.option("__globPaths__", False).parquet(f"file://{folder}")
    return events.unionByName(rows, allowMissingColumns=True)


def names_beside(table: pl.DataFrame) -> list[str]:
    """The columns of a table beside the user."""
    return [name for name in table.columns if name != "user"]


def of_sets(rows: DataFrame, people: People) -> DataFrame:
    """The rows with `TOGETHER`: the user, or the set of ids that were ever merged with the user's."""
    sets = pl.DataFrame({"member": people.ids, "set": people.sets_of(people.ids)})
    members = rows.sparkSession.createDataFrame(sets.to_arrow())
    # an id holds no zero characters, so that it is no set
    named = f"COALESCE(concat(chr(0), CAST(set AS STRING)), user) AS {TOGETHER}"
    joined = rows.join(members, rows["user"] == members["member"], "left")
    return joined.selectExpr("*", named).drop("member", "set")
