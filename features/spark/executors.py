"""Work that is given to Spark's executors, item by item, and files of ours that they read as rows."""

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, Final, TypeVar

import polars as pl
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

from features.spark.partitions import Batches
from features.system.files.places import Place

T = TypeVar("T")
R = TypeVar("R")

#: where a row is from: its file, as Spark writes its address, and its place in it
FILE: Final = "file"
PLACE: Final = "__place"


def on_executors(session: SparkSession, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What executors make of each of some items, in their order."""
    if not items:
        return []
    found: list[R] = session.sparkContext.parallelize(items, len(items)).map(work).collect()
    return found


def rows_of_items(
    session: SparkSession, work: Callable[[T], pa.Table], items: Sequence[T], schema: pa.Schema
) -> DataFrame:
    """The rows that executors make of each of some items.

    Args:
        session: the connection.
        work: makes rows.
        items: at least one.
        schema: of the rows.
    """
    spark_schema = from_arrow_schema(schema)
    exact = to_arrow_schema(spark_schema)

    def partition(batches: Batches) -> Batches:
        for batch in batches:
            for at in batch["item"].to_pylist():
                yield from work(items[at]).select(exact.names).cast(exact).to_batches()

    return session.range(0, len(items), 1, len(items)).toDF("item").mapInArrow(partition, spark_schema)


def rows_of_files(session: SparkSession, place: Place, names: Sequence[str], schema: pa.Schema) -> DataFrame:
    """The rows of Parquet files of ours, with `FILE` and `PLACE`; Spark itself need not know their file system.

    Args:
        session: the connection.
        place: has the files.
        names: which; at least one.
        schema: of the rows; columns that a file does not have are null.
    """
    described = schema.append(pa.field(FILE, pa.string())).append(pa.field(PLACE, pa.int64()))

    def read(name: str) -> pa.Table:
        rows = read_file(place, name)
        lost = [pl.lit(None).alias(column) for column in schema.names if column not in rows.columns]
        rows = rows.with_columns(*lost, pl.lit(name).alias(FILE)).with_row_index(PLACE)
        return rows.select(described.names).to_arrow()

    return rows_of_items(session, read, names, described)


def read_file(place: Place, name: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read a Parquet file of ours."""
    with place.reading(name) as file:
        source: Any = BytesIO(file.read()) if place.is_store else place.folder / name
    return pl.read_parquet(source, columns=list(columns) if columns is not None else None, hive_partitioning=False)


def gathering(
    place: Place, columns: Sequence[str], work: Callable[[pl.DataFrame], pl.DataFrame]
) -> Callable[[Sequence[str]], bytes]:
    """What an executor runs on the files of some users: the same as one machine does, as Arrow's stream."""

    def made(names: Sequence[str]) -> bytes:
        found = BytesIO()
        work(pl.concat([read_file(place, name, columns) for name in names])).write_ipc_stream(found, compression="zstd")
        return found.getvalue()

    return made
