"""A Spark of this machine."""

import os
import sys
from collections.abc import Iterator

import pytest

from features.settings import Settings


@pytest.fixture(scope="module")
def spark_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    from pyspark.sql import SparkSession

    from features.spark.session import STARTED

    home = tmp_path_factory.mktemp("spark")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]").config("spark.ui.enabled", False)
        .config("spark.sql.shuffle.partitions", 5).config("spark.sql.warehouse.dir", str(home / "warehouse"))
        .config("spark.driver.memory", "2g").config(map=STARTED).getOrCreate()
    )  # fmt: skip
    yield Settings(home=home / "var", engine="spark", spark="local[2]")
    session.stop()
