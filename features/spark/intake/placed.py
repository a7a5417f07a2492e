"""The log's rows that count, as a store keeps them: with their bucket, their id's hash and their place in the log."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from features.events.hashing import bucket_of, hashed
from features.events.repeats import ROW_BITS
from features.events.tombstones import Tombstones
from features.spark.executors import FILE, PLACE
from features.spark.intake.judging import address_of
from features.spark.intake.rows import NAME
from features.spark.partitions import Batches

#: the columns before those of values
COLUMNS: Final = "bucket INT, user STRING, t LONG, wait LONG, id LONG, place LONG, mask LONG"


def placed_rows(
    rows: DataFrame, n_values: int, buckets: int, numbers: Mapping[str, int], erased: Tombstones
) -> DataFrame:
    """Place rows: `COLUMNS` and ``v0…``.

    Args:
        rows: as `features.spark.intake.rows.event_rows` makes them.
        n_values: how many valued signals rows have.
        buckets: of the store.
        numbers: of each file, by its address, its number in the store.
        erased: whose rows count nowhere.
    """
    values = [f"v{i}" for i in range(n_values)]

    def place(batches: Batches) -> Batches:
        for batch in batches:
            users = pa.chunked_array([batch["user"]])
            keys = hashed(users)
            file = batch[FILE].dictionary_encode()
            known = np.array([numbers[address_of(name)] for name in file.dictionary.to_pylist()], dtype=np.int64)
            at = (known[file.indices.to_numpy(zero_copy_only=False)] << ROW_BITS) | batch[PLACE].to_numpy()
            found = {
                "bucket": bucket_of(keys, buckets).astype(np.int32), "user": batch["user"], "t": batch["t"],
                "wait": pc.subtract(batch["visible"], batch["t"]), "id": hashed(pa.chunked_array([batch[NAME]])),
                "place": at, "mask": batch["mask"], **{name: batch[name] for name in values},
            }  # fmt: skip
            placed = pa.RecordBatch.from_pydict(found)
            yield placed.filter(pa.array(~erased.flags(users, keys))) if erased else placed

    kept = rows.where("dropped < 0").select("user", "t", "visible", "mask", *values, FILE, PLACE, NAME)
    return kept.mapInArrow(place, COLUMNS + "".join(f", {name} DOUBLE" for name in values))
