"""Parts of an event store that executors write, each of the rows of one bucket, sorted by user and time."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from features.event_store.manifest import Part
from features.event_store.part_files import ROW_GROUP, STORED, PartFiles
from features.events.repeats import ROW_BITS
from features.reading.clocks import blocks_of
from features.spark.partitions import Batches, attempt

#: of a part: its bucket, name, rows, earliest and latest event time, and events by block of time
DESCRIBED: Final = "bucket INT, name STRING, rows LONG, first LONG, last LONG, blocks STRING"


def write_parts(rows: DataFrame, files: PartFiles, partitions: int, written: str, position: int) -> list[Part]:
    """Write rows as parts, one a bucket.

    Args:
        rows: as `features.spark.intake.placed.placed_rows` makes them.
        files: the store's parts.
        partitions: how many tasks write.
        written: tells the files from others.
        position: at which the rows come in.
    """
    values = [f"v{i}" for i in range(files.n_values)]
    order = ["bucket", "user", "t", "mask", *values, "wait"]  # as `Rows.sorted`
    spread = rows.repartition(partitions, "bucket").sortWithinPartitions(*order)

    def write(batches: Batches) -> Batches:
        for bucket, tables in _of_buckets(batches):
            name = f"{files.run}bucket-{bucket:04d}-{written}-{position}-{attempt()}.parquet"
            n, first, last, blocks = 0, None, None, Counter[int]()
            with files.place.writing(name) as file, ExitStack() as stack:
                writer = None
                for table in _by_groups(tables):
                    if writer is None:
                        writer = stack.enter_context(pq.ParquetWriter(file, table.schema, **STORED))
                    writer.write_table(table, ROW_GROUP)
                    t = table["t"].to_numpy()
                    n, blocks = n + len(t), blocks + Counter(blocks_of(t))
                    first = int(t.min()) if first is None else min(first, int(t.min()))
                    last = int(t.max()) if last is None else max(last, int(t.max()))
            found = {
                "bucket": bucket,
                "name": name,
                "rows": n,
                "first": first,
                "last": last,
                "blocks": json.dumps(blocks),
            }
            yield pa.RecordBatch.from_pylist([found], schema)

    schema = pa.schema([("bucket", pa.int32()), ("name", pa.string()), ("rows", pa.int64()), ("first", pa.int64()),
                        ("last", pa.int64()), ("blocks", pa.string())])  # fmt: skip
    parts = []
    for one in spread.mapInArrow(write, DESCRIBED).collect():
        files.place.keep(one["name"])
        blocks = {int(block): int(n) for block, n in json.loads(one["blocks"]).items()}
        parts.append(Part(bucket=one["bucket"], name=one["name"], rows=one["rows"], first=one["first"],
                          last=one["last"], position=position, blocks=blocks))  # fmt: skip
    return parts


def _of_buckets(batches: Batches) -> Iterator[tuple[int, Iterator[pa.Table]]]:
    """The rows of each bucket, table by table; rows lie sorted by bucket, and each bucket is read to its end."""
    pending: list[pa.Table] = []

    def more() -> bool:
        batch = next(batches, None)
        if batch is not None and batch.num_rows:
            pending.append(pa.Table.from_batches([batch]))
        return batch is not None

    def of_bucket(bucket: int) -> Iterator[pa.Table]:
        while pending or more():
            if not pending:
                continue
            table = pending.pop(0)
            n = int(np.searchsorted(table["bucket"].to_numpy(), bucket, side="right"))
            if n:
                yield _stored(table.slice(0, n))
            if n < table.num_rows:
                pending.insert(0, table.slice(n))
                return

    while pending or more():
        if pending:
            bucket = pending[0]["bucket"][0].as_py()
            yield bucket, of_bucket(bucket)


def _by_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, as many as make a group of rows at once."""
    pending: list[pa.Table] = []
    for table in tables:
        pending.append(table)
        if sum(one.num_rows for one in pending) >= ROW_GROUP:
            yield pa.concat_tables(pending)
            pending = []
    if pending:
        yield pa.concat_tables(pending)


def _stored(table: pa.Table) -> pa.Table:
    """The columns of a part: the file in the place of the row's place, no bucket."""
    file = pc.shift_right(table["place"], ROW_BITS).cast(pa.int32())
    table = table.drop_columns(["bucket", "place"])
    return table.add_column(table.column_names.index("mask"), "file", file)
