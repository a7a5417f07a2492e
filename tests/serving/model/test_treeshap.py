"""Attributions from tables are LightGBM's own, whatever the trees look like."""

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.model.trees.treeshap import Forest
from serving.model.trees.treeshap_tables import MOST_NODES


def booster_of(seed: int, *, leaves: int, rounds: int = 12, missing: float = 0.2, categories: int = 7) -> tuple:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(1_500, 6))
    X[rng.random(X.shape) < missing] = np.nan
    X[:, 4] = rng.integers(0, categories, len(X))  # categorical
    X[:, 5] = rng.poisson(1.0, len(X))  # many ties, no missing values
    logit = np.nan_to_num(X[:, 0]) + (X[:, 4] % 3 == 1) - 0.5 * X[:, 5] + np.isnan(X[:, 1])
    y = rng.random(len(X)) < 1 / (1 + np.exp(-logit))
    parameters = {"objective": "binary", "num_leaves": leaves, "min_data_in_leaf": 5, "verbosity": -1, "seed": seed,
                  "cat_smooth": 1.0, "min_data_per_group": 5}  # fmt: skip
    return lgb.train(parameters, lgb.Dataset(X, y, categorical_feature=[4]), rounds), X


def forest_of(booster: lgb.Booster) -> Forest | None:
    return Forest.of([tree["tree_structure"] for tree in booster.dump_model()["tree_info"]])


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([2, 5, 15, 31]), st.sampled_from([0.0, 0.3]))
def test_tables_say_what_pred_contrib_says(seed: int, leaves: int, missing: float) -> None:
    booster, X = booster_of(seed, leaves=leaves, missing=missing)
    asked = X[:700].copy()
    # values never seen in fitting: missing everywhere, an unknown and a negative category
    asked[::7] = np.nan
    asked[1::7, 4] = 99
    asked[2::7, 4] = -1
    forest = forest_of(booster)
    if forest is None:
        assert leaves > 15, "only large trees are too deep"
        return
    assert np.allclose(forest.effects(asked), booster.predict(asked, pred_contrib=True)[:, :-1], atol=1e-10)


def test_a_tree_without_a_split_says_nothing() -> None:
    X = np.ones((100, 2))
    booster = lgb.train({"objective": "binary", "verbosity": -1}, lgb.Dataset(X, np.arange(100) % 2), 3)
    forest = forest_of(booster)
    assert forest is not None
    assert not forest.effects(X).any()


@pytest.mark.parametrize("rows", [0, 1, 255, 256, 257, 1_000])
def test_any_number_of_rows(rows: int) -> None:
    booster, X = booster_of(1, leaves=15)
    forest = forest_of(booster)
    assert forest is not None
    found = forest.effects(X[:rows])
    assert found.shape == (rows, 6)
    if rows:
        assert np.allclose(found, booster.predict(X[:rows], pred_contrib=True)[:, :-1], atol=1e-10)


def test_a_tree_too_large_for_tables_is_left_to_lightgbm() -> None:
    booster, _ = booster_of(1, leaves=MOST_NODES + 30, rounds=2)
    assert forest_of(booster) is None
