"""Numbers, truths and texts go from NumPy to Arrow and back as pyarrow takes them, and pandas is not imported."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from features.system.arrow import arrow_of, numpy_of, texts_of
from tests.conftest import ROOT

COLUMNS = [
    np.arange(5), np.arange(10)[::2], np.array([0.5, -0.0, -np.inf]), np.arange(3, dtype=np.int32),
    np.array([True, False, True] * 7), np.zeros(0),
]  # fmt: skip


@pytest.mark.parametrize("values", COLUMNS, ids=lambda values: f"{values.dtype}{values.shape}")
def test_arrays_become_what_pyarrow_makes_of_them(values: NDArray[np.generic]) -> None:
    some = np.arange(len(values)) % 3 == 1
    assert arrow_of(values).equals(pa.array(values))
    assert arrow_of(values, some).equals(pa.array(values, mask=some))
    assert arrow_of(values, some).null_count == some.sum()


@pytest.mark.parametrize(
    "column",
    [
        *map(pa.array, COLUMNS), pa.array([1, None, 3]), pa.array([0.5, None]),
        pa.chunked_array([pa.array([1, 2]), pa.array([3])]), pa.chunked_array([], pa.int64()),
    ],
    ids=lambda column: f"{column.type}{len(column)}",
)  # fmt: skip
def test_columns_become_what_pyarrow_makes_of_them(column: pa.Array | pa.ChunkedArray) -> None:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    expected = whole.to_numpy(zero_copy_only=False)
    found = numpy_of(column)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_texts_become_what_pyarrow_makes_of_them() -> None:
    texts = ["a", None, "", "Zoë 🙂"]
    assert texts_of(texts).equals(pa.array(texts, pa.large_string()))
    assert texts_of([]).equals(pa.array([], pa.large_string()))


def test_pandas_is_not_imported() -> None:
    program = """if True:
        import sys, numpy as np
        from features.system.arrow import arrow_of, numpy_of, texts_of
        numpy_of(arrow_of(np.arange(3), np.arange(3) == 1)), numpy_of(arrow_of(np.arange(3) == 1)), texts_of(["a"])
        print("pandas" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
