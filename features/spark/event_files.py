"""A log's events written as the event store keeps them: by bucket of users, sorted by user and time."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.functions import count
from pyspark.sql.functions import max as max_
from pyspark.sql.functions import min as min_

from features.events.distributed import EventFile
from features.events.events import Rows
from features.events.hashing import bucket_of, hashed
from features.events.repeats import one_row_an_id
from features.events.tombstones import Tombstones
from features.reading.clocks import BLOCK
from features.spark.partitions import Batches, Partition, of_whole_users

#: the text of an event's id
NAME: Final = "name"

#: bytes of a row group, as Spark counts them: rows of a few users are read without most others
ROW_GROUP = 4 << 20


def write_event_files(
    rows: DataFrame, folder: Path, partitions: int, buckets: int, n_values: int, erased: Tombstones, *, by_arrival: bool
) -> list[EventFile]:
    """Write a log's rows, those of each bucket in a file of their own.

    Args:
        rows: the log's rows that count, with `NAME`, the text of each id.
        folder: is made; a path that all machines see.
        partitions: into how many users are spread while repeats of their ids are left out.
        buckets: how many.
        n_values: how many valued signals rows have.
        erased: whose rows count nowhere.
        by_arrival: rows say when they arrived.
    """
    values = [f"v{i}" for i in range(n_values)]
    schema = "bucket INT, user STRING, t LONG, wait LONG, id LONG, file INT, mask LONG" + "".join(
        f", {name} DOUBLE" for name in values
    )
    once = of_whole_users(_bucketed(buckets, n_values, erased, by_arrival=by_arrival), "user")
    order = ["bucket", "user", "t", "mask", *values, "wait"]  # as `Rows.sorted`
    kept = rows.repartition(partitions, "user").sortWithinPartitions("user", "t").mapInArrow(once, schema)
    spread = kept.repartition(buckets, "bucket").sortWithinPartitions(*order)
    writer = spread.write.mode("overwrite").option("compression", "zstd").option("parquet.block.size", ROW_GROUP)
    writer.partitionBy("bucket").parquet(f"file://{folder}")
    return _described(rows, folder)


def _bucketed(buckets: int, n_values: int, erased: Tombstones, *, by_arrival: bool) -> Partition:
    """What an executor makes of whole users: their rows that count, each with its bucket."""

    def answer(table: pa.Table) -> Batches:
        ids = pa.array(hashed(table[NAME]))
        rows = Rows.of(table.set_column(table.column_names.index("id"), "id", ids), n_values)
        if erased:
            rows = rows.take(~erased.flags(rows.users)[rows.codes])
        once, _ = one_row_an_id(rows, by_arrival=by_arrival, each_user=True)
        places = bucket_of(hashed(pa.chunked_array([once.users])), buckets)[once.codes].astype(np.int32)
        found = once.table()
        plain = found.set_column(0, "user", found["user"].cast(pa.string()))
        yield from plain.add_column(0, "bucket", pa.array(places)).to_batches()

    return answer


def _described(rows: DataFrame, folder: Path) -> list[EventFile]:
    """The files that were written: one a bucket, unless Spark has made more of it."""
    read = rows.sparkSession.read.option("__globPaths__", False).parquet(f"file://{folder}")
    block = f"CAST(floor(t / {BLOCK}) AS BIGINT)"
    counted = read.selectExpr("bucket", "_metadata.file_name AS file", f"{block} AS block", "t")
    found = counted.groupBy("bucket", "file", "block").agg(count("t"), min_("t"), max_("t"))
    table = pl.DataFrame(found.toDF("bucket", "file", "block", "events", "first", "last").toArrow())
    files = table.group_by("bucket", "file").agg("block", "events", pl.col("first").min(), pl.col("last").max())
    return [
        EventFile(folder / f"bucket={bucket}" / file, int(bucket), first, last, dict(zip(blocks, events, strict=True)))
        for bucket, file, blocks, events, first, last in files.sort("bucket", "file").iter_rows()
    ]
