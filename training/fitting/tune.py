"""Tuning: Optuna looks for LightGBM's parameters on the loss of users that each fold has not seen."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import optuna

from features.definition.schema import Definition
from features.system.progress import Progress, ignore
from training.dataset.matrices import Matrices
from training.fitting.fit import FOLDS
from training.fitting.objective import objective_of
from training.fitting.trees import Parameters, boost, usual


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of parameters that was tried.

    Attributes:
        number: 0 is the usual set.
        parameters: what was varied.
        loss: of the ``learn`` slice, each row by the booster that has not seen its user.
        rounds: where boosting stopped.
        seconds: how long it took.
    """

    number: int
    parameters: Parameters
    loss: float
    rounds: int
    seconds: float


def tune(
    matrices: Matrices,
    definition: Definition,
    outcome: str,
    trials: int,
    *,
    report: Callable[[Trial], None],
    progress: Progress = ignore,
) -> Parameters:
    """Find parameters by trying; the usual ones are tried first, so that the answer is never worse on those rows.

    Args:
        matrices: the data set.
        definition: seed and constraints.
        outcome: whose.
        trials: how many sets to try.
        report: called with each trial that is done.
        progress: called for each trial.
    """
    rule, learn = definition.outcomes[outcome], matrices.part("learn")
    family, folds = objective_of(rule), learn.folds(FOLDS)
    base = {**usual(learn, definition.training.seed, rule), **family.objective}
    varied: dict[str, optuna.distributions.BaseDistribution] = {
        "learning_rate": optuna.distributions.FloatDistribution(0.015, 0.08, log=True),
        "num_leaves": optuna.distributions.IntDistribution(4, 48, log=True),
        "min_data_in_leaf": optuna.distributions.IntDistribution(20, 400, log=True),
        "feature_fraction": optuna.distributions.FloatDistribution(0.2, 1.0),
        "bagging_fraction": optuna.distributions.FloatDistribution(0.5, 1.0),
        "lambda_l2": optuna.distributions.FloatDistribution(0.1, 100.0, log=True),
    }
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # its lines would run through the progress bars
    try:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=definition.training.seed))
    finally:
        optuna.logging.set_verbosity(verbosity)
    study.enqueue_trial({name: base[name] for name in varied})
    for number in range(trials):
        asked = study.ask(varied)
        began = time.perf_counter()
        trees = boost(learn, learn.weights, base | asked.params, folds)
        loss = family.loss(learn.y, trees.held_out, learn.weights)
        study.tell(asked, loss)
        report(Trial(number, asked.params, loss, trees.rounds, time.perf_counter() - began))
        progress(1)
    return dict(study.best_params)
