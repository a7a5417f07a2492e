"""What has changed of users' values between two times that all were written."""

from collections.abc import Callable

import polars as pl
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from features.spark.executors import rows_of_files
from features.spark.partitions import Batches, attempt
from features.system.files.places import Place

_NOBODY = "part-none.parquet"

VALUES = pa.schema([("user", pa.string()), ("profile", pa.binary())])


def write_changed(
    session: SparkSession, now: Place, before: Place | None, out: Place, partitions: int, *, since: int, gone: bytes
) -> list[str]:
    """Write what has changed; see `features.event_store.distributed.DistributedLog.write_changed`.

    Args:
        session: the connection.
        now: a written folder.
        before: that of the last time, or None.
        out: gets the files.
        partitions: how many files there are at most.
        since: bytes of a value before this one are not compared.
        gone: the value of who was there the last time only.

    Returns:
        The names of the files.
    """

    def read(of: Place) -> DataFrame:
        names = of.names()
        rows = (
            rows_of_files(session, of, names, VALUES)
            if names
            else session.createDataFrame([], "user STRING, profile BINARY")
        )
        return rows.select("user", "profile")

    found = read(now)
    if before is not None:
        was = read(before)
        values = [
            rows.selectExpr("user", "profile", f"substring(profile, {since + 1}) AS compared") for rows in (found, was)
        ]
        found = values[0].join(values[1].drop("profile"), ["user", "compared"], "left_anti").drop("compared")
        nobody = was.join(read(now), "user", "left_anti").selectExpr("user", f"X'{gone.hex()}' AS profile")
        found = found.unionByName(nobody)
    written = found.coalesce(partitions).mapInArrow(_writing(out), "name STRING").collect()
    out.write(_NOBODY, pl.DataFrame(VALUES.empty_table()))  # so that there is a file where nothing has changed
    return [_NOBODY, *(str(row["name"]) for row in written)]


def _writing(out: Place) -> Callable[[Batches], Batches]:
    def write(batches: Batches) -> Batches:
        for i, batch in enumerate(batches):
            if batch.num_rows:
                name = f"part-{attempt()}-{i:05d}.parquet"
                out.write(name, pl.DataFrame(pa.Table.from_batches([batch])))
                yield pa.record_batch({"name": pa.array([name])})

    return write
