"""Snapshots of both engines, compared."""

from pathlib import Path

import numpy as np
import polars as pl

from features.definition import Definition
from features.definition.columns import feature_set
from features.events.write import part_files
from features.time import DAY
from tests.features.profile.days import START

CUTOFFS = START + np.array([5, 11, 18]) * DAY + 7 * 3_600_000_000


def rows_in(folder: Path) -> pl.DataFrame:
    return pl.concat(pl.read_parquet(f, hive_partitioning=False) for f in part_files(folder)).sort("user", "cutoff")


def assert_same_rows(found: pl.DataFrame, expected: pl.DataFrame, definition: Definition) -> None:
    assert found.select("user", "cutoff").equals(expected.select("user", "cutoff"))
    for name in feature_set(definition).numeric:
        exact = "count" in name or "distinct" in name or "days" in name.split("_")
        left, right = found[name].to_numpy(), expected[name].to_numpy()
        close = (
            np.array_equal(left, right, equal_nan=True)
            if exact
            else np.allclose(left, right, 1e-6, 1e-12, equal_nan=True)
        )
        assert close, name
