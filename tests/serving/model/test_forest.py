"""A booster read from its text answers and explains as LightGBM does, whatever its trees look like."""

import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.model.trees.forest import FEW, MOST_LEAVES, NEAR, Forest
from serving.model.trees.treeshap import WORTHWHILE
from serving.model.trees.treeshap_tables import MOST_NODES, tabulated

COLUMNS = 6


def booster_of(
    seed: int,
    *,
    leaves: int,
    rounds: int = 12,
    missing: float = 0.2,
    categories: int = 7,
    before: lgb.Booster | None = None,
    **more: object,
) -> tuple[lgb.Booster, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(1_500, COLUMNS))
    X[rng.random(X.shape) < missing] = np.nan
    X[:, 4] = rng.integers(0, categories, len(X))  # categorical
    X[:, 5] = rng.poisson(1.0, len(X))  # many ties, no missing values
    logit = np.nan_to_num(X[:, 0]) + (X[:, 4] % 3 == 1) - 0.5 * X[:, 5] + np.isnan(X[:, 1])
    y = rng.random(len(X)) < 1 / (1 + np.exp(-logit))
    parameters = {"objective": "binary", "num_leaves": leaves, "min_data_in_leaf": 5, "verbosity": -1, "seed": seed,
                  "cat_smooth": 1.0, "min_data_per_group": 5, **more}  # fmt: skip
    return lgb.train(parameters, lgb.Dataset(X, y, categorical_feature=[4]), rounds, init_model=before), X


def forest_of(booster: lgb.Booster) -> Forest:
    return Forest.of(booster.model_to_string())


def strange(X: np.ndarray) -> np.ndarray:
    """Rows with values never seen in fitting: missing everywhere, unknown and negative categories, infinity."""
    asked = X.copy()
    asked[::7] = np.nan
    asked[1::7, 4], asked[2::7, 4], asked[3::7, 4] = 99, -1, -0.5
    asked[4::7, 0], asked[5::7, 2] = np.inf, -np.inf
    return asked


@settings(max_examples=40)
@given(
    st.integers(0, 10_000), st.sampled_from([2, 5, 15, 48, MOST_LEAVES, MOST_LEAVES + 1, 200]),
    st.sampled_from([0.0, 0.3]), st.sampled_from([1, 7, 90]),
    st.sampled_from([1, FEW - 1, FEW, NEAR - 1, NEAR, NEAR + 1, 1_500]),
)  # fmt: skip
def test_scores_are_lightgbms_to_the_last_bit(
    seed: int, leaves: int, missing: float, categories: int, count: int
) -> None:
    booster, X = booster_of(seed, leaves=leaves, missing=missing, categories=categories)
    asked, forest = strange(X)[:count], forest_of(booster)
    expected = booster.predict(asked, raw_score=True)
    assert np.array_equal(forest.predict(asked), expected)
    assert np.array_equal(forest.predict(np.asfortranarray(asked)), expected)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([2, 5, 15, 31, 100]), st.sampled_from([0.0, 0.3]))
def test_effects_are_lightgbms_of_few_rows_and_of_many(seed: int, leaves: int, missing: float) -> None:
    booster, X = booster_of(seed, leaves=leaves, missing=missing)
    asked, forest = strange(X), forest_of(booster)
    expected = booster.predict(asked, pred_contrib=True)[:, :-1]
    few = WORTHWHILE - 1
    for how in ("leaf by leaf", "from the tables that many have left"):
        assert np.allclose(forest.effects(asked[:few]), expected[:few], atol=1e-10), how
        assert np.array_equal(forest.effects(asked[:1]), forest.effects(asked[:few])[:1]), how
        assert np.allclose(forest.effects(asked), expected, atol=1e-10), how


def test_effects_add_up_to_the_score() -> None:
    booster, X = booster_of(3, leaves=15)
    forest = forest_of(booster)
    left = forest.predict(X) - forest.effects(X).sum(axis=1)
    assert np.allclose(left, left[0], atol=1e-10), "what is left is the average score"


@pytest.mark.parametrize("rows", [0, 1, 255, 256, 257, 1_000])
def test_any_number_of_rows(rows: int) -> None:
    booster, X = booster_of(1, leaves=15)
    forest = forest_of(booster)
    assert forest.predict(X[:rows]).shape == (rows,)
    assert forest.effects(X[:rows]).shape == (rows, COLUMNS)


def test_a_tree_without_a_split_says_the_same_of_everybody() -> None:
    X = np.ones((100, 2))
    booster = lgb.train({"objective": "binary", "verbosity": -1}, lgb.Dataset(X, np.arange(100) % 2), 3)
    forest = forest_of(booster)
    assert np.array_equal(forest.predict(X), booster.predict(X, raw_score=True))
    assert not forest.effects(X).any()
    assert not forest.used.any()


def test_the_columns_used_are_those_that_trees_split_by() -> None:
    booster, _ = booster_of(5, leaves=3, rounds=2)
    assert np.array_equal(forest_of(booster).used, booster.feature_importance("split") > 0)


@pytest.mark.parametrize("objective", ["regression", "tweedie", "poisson"])
def test_amounts_are_scored_too(objective: str) -> None:
    booster, X = booster_of(2, leaves=15, objective=objective)
    assert np.array_equal(forest_of(booster).predict(X), booster.predict(X, raw_score=True))


def test_trees_too_large_for_tables_are_explained_leaf_by_leaf_beside_the_others() -> None:
    small, _ = booster_of(1, leaves=15, rounds=3)
    booster, X = booster_of(1, leaves=MOST_NODES + 30, rounds=2, before=small)
    forest = forest_of(booster)
    assert {tabulated(root) for root in forest.roots} == {False, True}
    assert np.allclose(forest.effects(X), booster.predict(X, pred_contrib=True)[:, :-1], atol=1e-10)


def test_threads_may_ask_at_once() -> None:
    booster, X = booster_of(3, leaves=15, rounds=60)
    forest, scores = forest_of(booster), booster.predict(X, raw_score=True)

    def wrong(first: int) -> int:
        starts = np.random.default_rng(first).integers(0, 890, 500)
        return sum(not np.array_equal(forest.predict(X[i : i + 3]), scores[i : i + 3]) for i in starts)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(wrong, range(8))) == 0


def test_a_forest_travels_to_another_process() -> None:
    booster, X = booster_of(3, leaves=15)
    forest = forest_of(booster)
    forest.effects(X)
    assert np.array_equal(pickle.loads(pickle.dumps(forest)).predict(X), forest.predict(X))  # noqa: S301


def test_a_matrix_of_other_columns_is_refused() -> None:
    booster, X = booster_of(3, leaves=15)
    with pytest.raises(ValueError, match="5 columns for a booster of 6"):
        forest_of(booster).predict(X[:, :5])


@settings(max_examples=60)
@given(st.floats(0.0, 0.999))
def test_a_text_that_is_cut_off_is_refused_in_words(share: float) -> None:
    booster, _ = booster_of(4, leaves=7, rounds=3)
    text = booster.model_to_string()
    trees = text[: text.index("end of trees")]
    with pytest.raises(ValueError, match=r"it |a tree|invalid literal|could not convert"):
        Forest.of(trees[: int(share * len(trees))])


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda text: "", "does not begin as a LightGBM model does"),
        (
            lambda text: re.sub("left_child=-?[0-9]+", "left_child=0", text, count=1),
            "a path of a tree of it leads nowhere",
        ),
        (
            lambda text: re.sub("left_child=-?[0-9]+", "left_child=77", text, count=1),
            "a path of a tree of it leads nowhere",
        ),
        (lambda text: text.replace("split_feature=", "split_feature=3 ", 1), "numbers of split_feature instead of 6"),
        (lambda text: text.replace("max_feature_idx=5", "max_feature_idx=0"), "a tree asks for column"),
        (lambda text: text.replace("leaf_value=", "leaf_value=x", 1), "could not convert string to float"),
        (lambda text: text.replace("is_linear=0", "is_linear=1"), "regressions in their leaves"),
        (lambda text: text.replace("num_class", "average_output\nnum_class", 1), "random forest"),
    ],
)
def test_a_damaged_text_is_refused_in_words(harm: object, words: str) -> None:
    booster, _ = booster_of(4, leaves=7, rounds=3)
    text = booster.model_to_string()
    assert harm(text) != text  # type: ignore[operator]
    with pytest.raises(ValueError, match=words):
        Forest.of(harm(text))  # type: ignore[operator]


def test_zero_as_missing_is_refused() -> None:
    booster, _ = booster_of(4, leaves=7, zero_as_missing=True)
    with pytest.raises(ValueError, match="zero_as_missing"):
        forest_of(booster)


def test_several_classes_are_refused() -> None:
    X = np.random.default_rng(1).normal(size=(300, 2))
    booster = lgb.train(
        {"objective": "multiclass", "num_class": 3, "verbosity": -1}, lgb.Dataset(X, np.arange(300) % 3), 2
    )
    with pytest.raises(ValueError, match="several classes"):
        forest_of(booster)
