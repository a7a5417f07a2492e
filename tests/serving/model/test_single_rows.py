"""A booster asked about single rows answers what it answers about a matrix, from any number of threads."""

from concurrent.futures import ThreadPoolExecutor

import lightgbm as lgb
import numpy as np
import pytest

from serving.model.trees.single_rows import MANY, SingleRows


@pytest.fixture(scope="module")
def fitted() -> tuple[lgb.Booster, np.ndarray, np.ndarray]:
    """A booster, a matrix with what is missing and with categories, and its raw scores."""
    rng = np.random.default_rng(3)
    matrix = np.column_stack([rng.gamma(1.0, 5.0, (900, 6)), rng.integers(0, 9, 900)])
    matrix[rng.random(matrix.shape) < 0.2] = np.nan
    y = (np.nan_to_num(matrix[:, 0]) + 3 * (matrix[:, 6] == 2) > 4).astype(float)
    data = lgb.Dataset(matrix, y, categorical_feature=[6])
    booster = lgb.train({"objective": "binary", "verbose": -1, "num_threads": 1, "seed": 1}, data, 60)
    return booster, matrix, np.asarray(booster.predict(matrix, raw_score=True))


@pytest.mark.parametrize("count", [0, 1, 2, MANY - 1, 900])
def test_scores_are_those_of_a_matrix_to_the_last_bit(
    fitted: tuple[lgb.Booster, np.ndarray, np.ndarray], count: int
) -> None:
    booster, matrix, scores = fitted
    single = SingleRows(booster)
    assert np.array_equal(single.predict(matrix[:count]), scores[:count])
    assert np.array_equal(single.predict(np.asfortranarray(matrix[:count])), scores[:count])


def test_threads_may_ask_at_once(fitted: tuple[lgb.Booster, np.ndarray, np.ndarray]) -> None:
    booster, matrix, scores = fitted
    single = SingleRows(booster)

    def wrong(first: int) -> int:
        starts = np.random.default_rng(first).integers(0, 890, 500)
        return sum(not np.array_equal(single.predict(matrix[i : i + 3]), scores[i : i + 3]) for i in starts)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(wrong, range(8))) == 0


def test_a_matrix_of_other_columns_is_refused(fitted: tuple[lgb.Booster, np.ndarray, np.ndarray]) -> None:
    booster, matrix, _ = fitted
    with pytest.raises(ValueError, match="6 columns for a booster of 7"):
        SingleRows(booster).predict(matrix[:, :6])
