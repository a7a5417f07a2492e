"""Between NumPy and Arrow without pandas: pyarrow's own ways import it, a third of a second of each start."""

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray


def arrow_of(values: NDArray[Any], nulls: NDArray[np.bool_] | None = None) -> pa.Array:
    """An array of numbers or truths as Arrow's; numbers are not copied.

    Args:
        values: one-dimensional.
        nulls: where there is no value.
    """
    data = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else np.ascontiguousarray(values)
    valid = None if nulls is None else pa.py_buffer(np.packbits(~nulls, bitorder="little"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [valid, pa.py_buffer(data)])


def numpy_of(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """Arrow's numbers or truths as an array that is not to be written to; NaN where there is no number."""
    return pl.Series(column).to_numpy()


def texts_of(texts: Any) -> pa.Array:
    """Texts at hand as Arrow's, ``large_string``; null for None."""
    return pl.Series(texts, dtype=pl.String).to_arrow().cast(pa.large_string())
