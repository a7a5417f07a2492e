"""What a trained champion's answers rest on: columns that lose their weight are named, and chance is not."""

import numpy as np
import polars as pl
import pytest

from features.events.compacted import NONE
from features.open_log import open_log
from features.system.progress import unseen
from monitoring.today.attributions import Attributions
from serving.model.model import Model
from serving.model.registry.loader import Loader
from tests.conftest import World
from training.evaluation.consistency import parity


@pytest.fixture(scope="module")
def rows(world: World) -> pl.DataFrame:
    log = open_log(world.definition, world.settings, ends=None, steps=unseen)
    _, rows = parity(log, world.definition, world.settings, world.folder / "probe")
    return rows.drop(world.definition.traits.fields if world.definition.traits is not None else [])


@pytest.fixture(scope="module")
def model(world: World) -> Model:
    return Loader(world.definition, world.settings).champions()["churn"]


def some(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    return rows.sample(fraction=0.8, seed=seed)


def test_what_chance_moves_is_not_named(world: World, rows: pl.DataFrame, model: Model) -> None:
    attributions = Attributions(world.definition, {"churn": model}, NONE)
    assert attributions.moved("churn", [some(rows, seed) for seed in range(4)]) == {}


def test_a_column_that_says_nothing_any_more_is_named(world: World, rows: pl.DataFrame, model: Model) -> None:
    attributions = Attributions(world.definition, {"churn": model}, NONE)
    parts = [some(rows, seed) for seed in range(4)]
    whole = rows.with_columns(pl.lit(None, pl.String).alias(name) for name in model.card.categories)
    effects = np.abs(model.effects(model.matrix(whole))).mean(axis=0)[: len(model.card.features)]
    name = model.card.features[int(effects.argmax())]
    # everybody has the value of one user on whom the column has next to no effect
    quiet = int(np.abs(model.effects(model.matrix(whole))[:, int(effects.argmax())]).argmin())
    now = parts[0].with_columns(pl.lit(rows[name][quiet]).alias(name))
    found = attributions.moved("churn", [now, *parts[1:]])
    assert name in found
    assert found[name].now < found[name].fitted
    assert found[name].fitted - found[name].now >= 2 * found[name].usual


def test_without_a_model_or_a_past_nothing_is_said(world: World, rows: pl.DataFrame, model: Model) -> None:
    attributions = Attributions(world.definition, {"churn": model}, NONE)
    assert attributions.moved("purchase", [rows] * 4) == {}
    assert attributions.moved("churn", [rows] * 2) == {}
