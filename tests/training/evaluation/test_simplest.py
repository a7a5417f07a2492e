"""Kinds of models: on a tie the simplest serves, a regression alone is a model like any other, few users are enough."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from serving.model.card import Procedure
from serving.model.model import Model
from tests.training.datasets import dataset
from tests.worlds import definition_of
from training.candidates import Candidates
from training.dataset.matrices import Matrices
from training.evaluation.judgement import Judgement, judge
from training.evaluation.simplest import simplest
from training.fitting.fit import FOLDS
from training.fitting.objective import Amount, Likelihood

N = 3_000


def judged(blend: float, rfm: float, recency: float, rows: int = N) -> Judgement:
    """Kinds that know the truth with so much noise."""
    rng = np.random.default_rng(1)
    logit = rng.normal(-1, 1.5, rows)
    labels = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(float)
    scores = {
        name: 1 / (1 + np.exp(-(logit + by * rng.normal(size=rows))))
        for name, by in (("blend", blend), ("rfm", rfm), ("recency", recency))
    }
    return judge(scores, labels, pl.Series(range(rows)), np.ones(rows), seed=1, draws=200)


@pytest.mark.parametrize(
    ("noise", "serves"), [((0.0, 1.0, 2.0), "blend"), ((0.05, 0.0, 2.0), "rfm"), ((0.05, 0.0, 0.0), "recency")]
)
def test_the_simplest_that_is_as_good_serves(noise: tuple[float, float, float], serves: str) -> None:
    assert simplest(judged(*noise), "log_loss", "average_precision", 0.01) == serves


def test_what_few_rows_cannot_tell_apart_is_no_tie() -> None:
    assert simplest(judged(0.0, 0.4, 0.4, rows=150), "log_loss", "average_precision", 0.01) == "blend"


def test_a_regression_alone_is_saved_read_and_explained(tmp_path: Path) -> None:
    definition = definition_of(gate={"draws": 100}, states={"all": "otherwise"})
    data = dataset(definition)
    matrices = Matrices.of(data, definition)
    model = Candidates(data, matrices, definition).model(Procedure(kind="rfm"))
    digest = model.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["card.json", "numbers.json"]
    again = Model.load(tmp_path, model.version, digest)
    X = matrices.X[matrices.slices["test"]]
    assert np.array_equal(again.predict(X), model.predict(X))
    effects = again.effects(X)
    assert np.allclose(effects.sum(axis=1), model.scores(X) * model.numbers.calibration.slope, atol=3)
    used = np.flatnonzero(np.abs(effects).sum(axis=0))
    assert 0 < used.size < len(matrices.names) / 2, "the columns of RFM alone"


def test_folds_hold_whole_users_and_none_is_empty() -> None:
    definition = definition_of()
    matrices = Matrices.of(dataset(definition), definition)
    folds = matrices.folds(FOLDS)
    assert set(folds.tolist()) == set(range(FOLDS))
    for share in np.unique(matrices.share)[:50]:
        assert np.unique(folds[matrices.share == share]).size == 1
    few = matrices.at(np.flatnonzero(matrices.share < 0.5))
    assert set(few.folds(FOLDS).tolist()) == {0, 1, 2}


def test_where_all_answers_are_alike_a_regression_says_how_often() -> None:
    columns, weights = np.random.default_rng(1).normal(size=(200, 3)), np.ones(200)
    for y in (np.zeros(200), np.ones(200)):
        found, intercept = Likelihood().regression(columns, y, weights)
        assert not found.any()
        assert (1 / (1 + np.exp(-intercept)) < 0.01) == (y[0] == 0.0)
    assert np.exp(Amount().regression(columns, np.full(200, 7.0), weights)[1]) == pytest.approx(7.0)
