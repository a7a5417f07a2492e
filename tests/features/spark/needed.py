"""What tests on Spark need, and how they are marked."""

import shutil

import pytest

#: Spark's sockets are left to the garbage collector
ON_SPARK = [
    pytest.mark.long,
    pytest.mark.xdist_group("spark"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def need_spark() -> None:
    """Skip the module that calls this where there is no Spark."""
    pytest.importorskip("pyspark", reason="the spark extra is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17", allow_module_level=True)
