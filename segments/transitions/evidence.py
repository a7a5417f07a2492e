"""What is known of a user in one number, to tell whether anything came in since it was looked at before."""

from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.events.hashing import hashed
from features.rows import FeatureRows


def evidence_of(rows: FeatureRows, definition: Definition) -> NDArray[np.int64]:
    """A number for each row that changes when an event or attribute comes in, and not when time passes.

    It is made of each signal's totals (events, values) and of the attributes. When an event *happened* does not matter:
    one that arrives late changes it, too, and a correction that only moves an event does not.

    Args:
        rows: feature rows.
        definition: names the signals.
    """
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    totals = [f"{name}_{total}_total" for name, rule in definition.signals.items()
              for total in ("count", *(["value"] if rule.value else []), *rule.more_values)]  # fmt: skip
    at = [rows.features.numeric.index(name) for name in totals]
    found = np.ascontiguousarray(np.nan_to_num(rows.matrix[:, at]).T, dtype=np.float64) + 0.0
    parts = [pl.Series(str(i), column).cast(pl.String) for i, column in enumerate(found.view(np.int64))]
    known = [texts.to_series().fill_null("\x00").alias(f"trait {name}") for name, texts in rows.traits.items()]
    texts = pl.select(pl.concat_str(*parts, *known, separator="\x1f")).to_series()
    return hashed(pa.chunked_array([cast(pa.Array, texts.to_arrow())]))
