"""A model: what is saved is what scores, effects add up, and nothing scores by accident."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import ScoringError
from serving.model.model import Model
from serving.model.numbers import sigmoid
from serving.model.registry.loader import Loader
from tests.conftest import World


@pytest.fixture(scope="module")
def model(world: World) -> Model:
    return Loader(world.definition, world.settings).champions()["purchase"]


def matrix(model: Model, rows: int = 50) -> np.ndarray:
    rng = np.random.default_rng(1)
    numbers = rng.gamma(1.0, 5.0, (rows, len(model.card.features)))
    numbers[rng.random(numbers.shape) < 0.2] = np.nan
    codes = rng.integers(0, 2, (rows, len(model.card.categories))).astype(float)
    return np.hstack([numbers, codes])


def test_saved_and_loaded_models_say_the_same(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["booster.txt", "card.json", "numbers.json"]
    again = Model.load(tmp_path, "x")
    assert np.array_equal(again.predict(matrix(model)), model.predict(matrix(model)))
    assert again.card == model.card


def test_effects_add_up_to_the_logit(model: Model) -> None:
    rows = matrix(model)
    logit = model.numbers.calibration.slope * model.scores(rows) + model.numbers.calibration.offset
    rest = logit - model.effects(rows).sum(axis=1)
    assert np.allclose(rest, rest[0], atol=1e-6), "what is left over is the same average for everybody"
    assert np.allclose(sigmoid(logit), model.predict(rows))


def test_one_row_or_many_score_the_same(model: Model) -> None:
    rows = matrix(model)
    assert np.allclose([model.predict(rows[i : i + 1])[0] for i in range(len(rows))], model.predict(rows), atol=1e-12)


def test_columns_in_any_order_but_none_missing(model: Model) -> None:
    columns = {name: [1.0] for name in model.card.features} | {name: ["free"] for name in model.card.categories}
    rows = pl.DataFrame(columns)
    assert np.array_equal(model.matrix(rows), model.matrix(rows.select(reversed(rows.columns))), equal_nan=True)
    with pytest.raises(ScoringError, match="needs 1 columns that are not there: tenure_days"):
        model.matrix(rows.drop("tenure_days"))


def test_a_category_never_seen_is_missing(model: Model) -> None:
    columns = {name: [1.0] * 3 for name in model.card.features} | {
        name: ["?", None, "x"] for name in model.card.categories
    }
    assert np.isnan(model.matrix(pl.DataFrame(columns))[:, len(model.card.features) :]).all()


@pytest.mark.parametrize("spoilt", ["booster.txt", "numbers.json", "card.json"])
@pytest.mark.parametrize("how", ["missing", "cut"])
def test_a_spoilt_model_does_not_load(model: Model, tmp_path: Path, spoilt: str, how: str) -> None:
    model.save(tmp_path)
    file = tmp_path / spoilt
    file.unlink() if how == "missing" else file.write_text(file.read_text()[:40])
    with pytest.raises(ScoringError, match="x/1 cannot be loaded"):
        Model.load(tmp_path, "x/1")


def test_nothing_is_pickled(world: World) -> None:
    files = [p for p in (world.settings.home / "mlartifacts").rglob("*") if p.is_file()]
    assert files
    assert not [p for p in files if p.suffix in (".pkl", ".pickle", ".joblib")]


def test_a_card_with_an_unknown_key_does_not_load(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    card = json.loads((tmp_path / "b" / "card.json").read_text())
    (tmp_path / "b" / "card.json").write_text(json.dumps(card | {"promise": "anything"}))
    with pytest.raises(ScoringError, match="promise"):
        Model.load(tmp_path / "b", "x/1")
