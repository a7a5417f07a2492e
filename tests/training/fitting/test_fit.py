"""Fitting: declared signs hold in the blended answer, few rows a user are enough, tuning never ends worse."""

from collections.abc import Sequence

import lightgbm as lgb
import numpy as np
import pytest

from features.definition.file.load import load_definition
from features.errors import DefinitionError
from serving.model.model import Model
from tests.conftest import ROOT
from tests.training.datasets import dataset
from tests.worlds import definition_of
from training.dataset.dataset import Dataset
from training.dataset.matrices import Matrices
from training.fitting.fit import FOLDS
from training.fitting.trees import ROUNDS, Parameters, boost, usual
from training.fitting.tune import Trial, tune
from training.learn import learn

FEATURE = "tenure_days"


def model_of(monotone: dict[str, str]) -> tuple[Model, Dataset]:
    rule = {"will_not": "visit", "within": "14d", "among": "days_since_visit < 28", "monotone": monotone}
    definition = definition_of(outcomes={"churn": rule}, gate={"draws": 100}, states={"all": "otherwise"})
    data = dataset(definition)
    return learn(data, Matrices.of(data, definition), definition, None).model, data


def answers(model: Model, data: Dataset) -> np.ndarray:
    """What the model says of one user as one feature grows."""
    row = model.matrix(data.part("test").head(1))
    rows = np.repeat(row, 60, axis=0)
    rows[:, model.card.features.index(FEATURE)] = np.linspace(-3, 3, 60)
    return model.predict(rows)


def test_a_declared_sign_holds_whatever_the_data_say() -> None:
    free, data = model_of({})
    assert np.diff(answers(free, data)).max() > 1e-3, "the data say: increasing"
    held, data = model_of({FEATURE: "decreasing"})
    assert np.diff(answers(held, data)).max() <= 1e-12
    along, data = model_of({FEATURE: "increasing"})
    assert np.diff(answers(along, data)).min() >= -1e-12
    assert answers(along, data)[-1] > answers(along, data)[0] + 0.1


def test_a_sign_for_no_feature_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    text = (ROOT / "propensity.yaml").read_text()
    wrong = text.replace("{will: purchase,   within", "{monotone: {platform: increasing}, will: purchase,   within")
    (tmp_path / "p.yaml").write_text(wrong)
    with pytest.raises(DefinitionError, match=r"outcomes\.purchase\.monotone: 'platform' is not a numeric feature"):
        load_definition(tmp_path / "p.yaml")


@pytest.mark.long
def test_tuning_tries_the_usual_set_first_and_never_ends_worse() -> None:
    definition = definition_of()
    matrices = Matrices.of(dataset(definition), definition)
    runs: list[tuple[Parameters, Sequence[Trial]]] = []
    for _ in range(2):
        reported: list[Trial] = []
        runs.append((tune(matrices, definition, "churn", 4, report=reported.append), reported))
    (best, trials), (again, _) = runs
    assert [t.number for t in trials] == [0, 1, 2, 3]
    assert trials[0].parameters["num_leaves"] == 15
    chosen = next(t for t in trials if t.parameters == best)
    assert chosen.loss == min(t.loss for t in trials)
    assert best == again, "the same seed finds the same"


def test_a_model_does_not_depend_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    definition = definition_of(gate={"draws": 100}, states={"all": "otherwise"})
    data = dataset(definition)
    found = []
    for cores in (1, 4):
        monkeypatch.setattr("features.system.parallel.cores", lambda cores=cores: cores)
        learnt = learn(data, Matrices.of(data, definition), definition, None)
        booster = learnt.model.booster.text if learnt.model.booster else ""
        found.append((booster, learnt.model.numbers.to_json(), learnt.answers.tolist()))
    assert found[0] == found[1]


def test_all_folds_end_at_the_round_that_is_best_for_all() -> None:
    definition = definition_of()
    matrices = Matrices.of(dataset(definition), definition)
    parameters = {**usual(matrices, 1, definition.outcomes["churn"]), "objective": "binary"}
    trees = boost(matrices, matrices.weights, parameters, matrices.folds(FOLDS))
    assert trees.rounds > 1
    assert len(trees.booster.roots) == FOLDS * trees.rounds, "none ends where the loss of its own users is least"


def test_a_fold_that_fails_ends_the_others_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the mean loss over all folds would never settle, and they would go on to the most rounds there are."""
    definition = definition_of()
    matrices = Matrices.of(dataset(definition), definition)
    rounds = []

    def evaluated(booster: lgb.Booster) -> list[tuple[str, str, float, bool]]:
        rounds.append(booster.current_iteration())
        if len(rounds) == 12:
            raise RuntimeError("no memory")
        return [("own", "loss", 1.0 / booster.current_iteration(), False)]  # falls without end

    monkeypatch.setattr(lgb.Booster, "eval_valid", evaluated)
    with pytest.raises(RuntimeError, match="no memory"):
        boost(matrices, matrices.weights, usual(matrices, 1, definition.outcomes["churn"]), matrices.folds(FOLDS))
    assert max(rounds) < ROUNDS / 2
