"""64 bits of a text, the same on every machine."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.events.sort import hash_text
from features.system.arrow import numpy_of, texts_of
from features.system.compiled import for_reading


def hashed(texts: pa.ChunkedArray) -> NDArray[np.int64]:
    """64 bits of each text, the same on every machine; 0 for null."""
    return _hashed(texts.combine_chunks().cast(pa.large_string()))


def hashed_names(names: Sequence[str]) -> NDArray[np.int64]:
    """As `hashed`, of names at hand."""
    return _hashed(texts_of(names))


def _hashed(array: pa.LargeStringArray) -> NDArray[np.int64]:
    out = np.zeros(len(array), dtype=np.int64)
    if array.null_count < len(array):
        _, offsets, data = array.buffers()
        starts = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
        hash_text(for_reading(starts), for_reading(np.frombuffer(data, dtype=np.uint8)), out)
        if array.null_count:
            out[numpy_of(array.is_null())] = 0
    return out


def bucket_of(keys: NDArray[np.int64], buckets: int) -> NDArray[np.int64]:
    """The bucket of users by their hash."""
    return (keys & 0x7FFF_FFFF_FFFF_FFFF) % buckets
