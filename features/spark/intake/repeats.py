"""Ids that new rows share with each other or with those of the store: found by Spark, judged as on one machine."""

import shutil
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import broadcast

from features.event_store.manifest import Manifest, Part
from features.event_store.part_files import PartFiles
from features.event_store.repeated.judged import Judged, judged_of
from features.events.repeats import frame_of
from features.events.sort import members, set_of
from features.spark.exchange import Exchange
from features.spark.executors import on_executors, rows_of_items
from features.spark.partitions import Batches, Partition, attempt
from features.system.files.places import Place

#: ids that every executor is sent; Spark spreads the rows by more of them
SENT_IDS = 5_000_000

_IDS = pa.schema([("id", pa.int64())])


class Repeats:
    """The ids that come again with new rows.

    Args:
        rows: the new rows, as `features.spark.intake.placed.placed_rows` makes them.
        state: what is in the store.
        files: its parts.
    """

    def __init__(self, rows: DataFrame, state: Manifest, files: PartFiles) -> None:
        self._rows, self._state, self._files = rows, state, files
        self._session: SparkSession = rows.sparkSession
        ids = rows.where("id <> 0").select("id")
        again = ids.groupBy("id").count().where("count > 1").select("id")
        self._old = np.zeros(0, dtype=np.int64)
        if state.parts:
            kept, new = rows_of_items(self._session, _ids_of(files), state.parts, _IDS), ids.distinct()
            few = new.count() <= SENT_IDS
            self._old = _numbers(kept.join(broadcast(new) if few else new, "id", "left_semi").distinct())
        self.ids = np.union1d(_numbers(again), self._old)

    def others(self) -> DataFrame:
        """The new rows of all other ids, and those without one."""
        return self._joined("left_anti") if len(self.ids) else self._rows

    def judged(self, exchange: Exchange, scratch: Path, taken: Sequence[str], *, by_arrival: bool) -> Judged | None:
        """What is to be done about these ids; None where there are none.

        Args:
            exchange: brings their rows here.
            scratch: is made, and removed.
            taken: names of all files, as rows number them.
            by_arrival: rows say when they arrived.
        """
        if not len(self.ids):
            return None
        place = exchange.empty(scratch)
        again = self._joined("left_semi").drop("bucket").selectExpr("*", "t + wait AS visible").drop("wait")
        found = again.mapInArrow(_writing(place), "name STRING, rows LONG").collect()
        written = {str(row["name"]): int(row["rows"]) for row in found}
        if len(self._old):
            for part in on_executors(self._session, _stored(self._files, self._old, place), self._state.parts):
                written |= part
        exchange.receive(place, list(written), scratch)
        rows = sum(written.values())
        judged = judged_of(self.ids, rows, scratch, self._state, self._files, taken, by_arrival=by_arrival)
        shutil.rmtree(scratch)
        return judged

    def _joined(self, how: str) -> DataFrame:
        table = self._session.createDataFrame(pa.table({"id": self.ids}))
        few = len(self.ids) <= SENT_IDS
        return self._rows.join(broadcast(table) if few else table, "id", how)


def _numbers(ids: DataFrame) -> NDArray[np.int64]:
    return np.asarray(ids.toArrow()["id"].to_numpy(), dtype=np.int64)


def _ids_of(files: PartFiles) -> Callable[[Part], pa.Table]:
    return lambda part: pa.table({"id": files.column(part, "id")})


def _writing(place: Place) -> Partition:
    """Write rows as files of Arrow, which `features.event_store.repeated.judged.judged_of` reads."""

    def write(batches: Batches) -> Batches:
        for i, batch in enumerate(batches):
            name = f"again-{attempt()}-{i:05d}.arrow"
            with place.writing(name) as file, pa.ipc.new_file(file, batch.schema) as out:
                out.write_batch(batch)
            yield pa.record_batch({"name": pa.array([name]), "rows": pa.array([batch.num_rows])})

    return write


def _stored(files: PartFiles, ids: NDArray[np.int64], place: Place) -> Callable[[Part], dict[str, int]]:
    """Write a part's rows of some ids in the same way."""
    table = set_of(ids)

    def write(part: Part) -> dict[str, int]:
        if not members(table, files.column(part, "id")).any():
            return {}
        rows = files.read([part], ids=True)
        some = frame_of(rows.take(members(table, rows.ids))).with_columns(bucket=pl.lit(part.bucket, pl.Int64()))
        name, out = f"stored-{attempt()}-{part.bucket:05d}.arrow", BytesIO()
        some.write_ipc(out)
        with place.writing(name) as file:
            file.write(out.getvalue())
        return {name: len(some)}

    return write
