"""An answer does not depend on who else is asked about: every field is equal to the last bit at any block size."""

import numpy as np
import polars as pl
import pytest

from features.rows import FeatureRows
from serving.scoring.scorer import Scorer
from serving.scoring.scores import Scored


@pytest.fixture(scope="module")
def whole(scored: Scored) -> pl.DataFrame:
    return scored.records


@pytest.mark.parametrize("size", [1, 2, 3, 7, 23, 24, 25, 64, 333, 999, 1_000, 1_001])
def test_every_field_is_the_same_at_any_block_size(
    scorer: Scorer, rows: FeatureRows, whole: pl.DataFrame, size: int
) -> None:
    users = min(len(rows), 60 * size)  # single users are slower: sixty blocks of each size say enough
    for start in range(0, users, size):
        block = rows.take(np.arange(start, min(start + size, users)))
        records = scorer.score(block, block.cutoffs).records
        assert records.equals(whole[start : start + len(block)], null_equal=True), f"rows {start} to {start + size}"


def test_every_field_is_the_same_in_any_order(scorer: Scorer, rows: FeatureRows, whole: pl.DataFrame) -> None:
    order = np.random.default_rng(5).permutation(len(rows))
    block = rows.take(order)
    assert scorer.score(block, block.cutoffs).records.equals(whole[order], null_equal=True)
