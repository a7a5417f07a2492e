"""LightGBM by folds over users: one booster a fold, and their mean as one booster. Pure: data in, boosters out."""

import threading
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from lightgbm.basic import _LIB, _safe_call
from numpy.typing import NDArray

from features.definition.sections.outcome import Question
from features.system.parallel import each
from serving.model.numbers import Floats
from serving.model.trees.forest import Forest
from training.dataset.matrices import Matrices

#: most rounds; boosting ends after so many in which the mean loss has not fallen by so large a share of itself
ROUNDS, PATIENCE, LEAST = 1_500, 8, 1e-4

#: what LightGBM is given
Parameters = dict[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Trees:
    """Boosters of all folds.

    Attributes:
        booster: their mean; every row was seen by all of its boosters but one.
        held_out: each row's score by the booster that has not seen its user.
        rounds: of each booster, where the mean loss of users not seen is least.
        loss: that loss.
    """

    booster: Forest
    held_out: Floats
    rounds: int
    loss: float


def usual(matrices: Matrices, seed: int, rule: Question) -> Parameters:
    """The parameters LightGBM is given when nothing was tuned, but for the objective."""
    signs = ",".join(str(sign) for sign in signs_of(rule, matrices.names))
    declared = {"monotone_constraints": signs} if rule.monotone else {}
    return {
        "learning_rate": 0.08,
        "num_leaves": 15,
        "min_data_in_leaf": int(np.clip(len(matrices.X) // 400, 20, 200)),
        "feature_fraction": 0.5,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "cat_smooth": 20.0,
        "max_bin": 127,
        "seed": seed,
        "num_threads": 1,
        "deterministic": "true",
        "force_col_wise": "true",  # the same trees as row by row, in two thirds of the time
        "verbosity": -1,
        **declared,
    }


def signs_of(rule: Question, names: list[str]) -> list[int]:
    """Which way each column may move the answer: 1 up, -1 down, 0 either."""
    ways = {"increasing": 1, "decreasing": -1}
    return [ways[rule.monotone[name]] if name in rule.monotone else 0 for name in names]


def boost(matrices: Matrices, weights: Floats, parameters: Parameters, folds: NDArray[np.int64]) -> Trees:
    """Boost each fold on the users of the others until the mean loss of those not seen has settled.

    All boosters end at the same round, the one where the mean loss over the folds is least: stopping each by its own
    users would tell it something of them.

    Args:
        matrices: the rows.
        weights: of the rows.
        parameters: of LightGBM, with one objective and one metric; folds are boosted side by side, a thread each.
        folds: which fold each row lies in, from 0 on.
    """
    # without the numbers it was made of: a fold needs its bins only, not a copy of the numbers
    whole = lgb.Dataset(
        matrices.X, matrices.y, weight=weights, feature_name=matrices.names,
        categorical_feature=list(matrices.categories), params=parameters,
    ).construct()  # fmt: skip

    count = int(folds.max()) + 1
    losses = _MeanLoss(count)

    def one(fold: int) -> lgb.Booster:
        inside = folds == fold
        others, own = (whole.subset(np.flatnonzero(rows).tolist()).construct() for rows in (~inside, inside))
        booster = lgb.Booster(parameters, others).add_valid(own, "own")
        try:
            for _ in range(ROUNDS):
                if losses.ended:
                    break
                booster.update()
                losses.add(fold, booster.eval_valid()[0][2])
        except BaseException:
            losses.ended = True  # the mean over all folds settles no more: the others end, too
            raise
        return booster

    # all at once however few the cores: at the same pace, none is far ahead when the mean loss has settled
    found = list(each(range(count), one, workers=count))
    rounds = int(np.argmin(losses.mean)) + 1
    # through text, so that what is evaluated is what is saved: only these rounds, nothing of the data
    texts = [booster.model_to_string(num_iteration=rounds) for booster in found]
    held_out = np.empty(len(matrices.X))
    for fold, text in enumerate(texts):
        held_out[folds == fold] = Forest.of(text).predict(matrices.X[folds == fold])
    return Trees(Forest.of(mean_of(texts)), held_out, rounds, losses.mean[rounds - 1])


class _MeanLoss:
    """The mean loss over folds that are boosted side by side, and whether it has settled.

    Args:
        folds: how many there are.

    Attributes:
        mean: after each round that all folds have done, up to the one by which it had not fallen by `LEAST` of itself
            in `PATIENCE` rounds.
        ended: whether boosting is to end.
    """

    def __init__(self, folds: int) -> None:
        self._losses = [list[float]() for _ in range(folds)]
        self._lock = threading.Lock()
        self._best, self._at = np.inf, 0
        self.mean: list[float] = []
        self.ended = False

    def add(self, fold: int, loss: float) -> None:
        """Add the loss of a fold's next round."""
        with self._lock:
            self._losses[fold].append(loss)
            done = len(self.mean)
            if self.ended or any(len(of_fold) == done for of_fold in self._losses):
                return
            self.mean.append(float(np.mean([of_fold[done] for of_fold in self._losses])))
            if self.mean[-1] < self._best * (1.0 - LEAST):
                self._best, self._at = self.mean[-1], done
            self.ended = done - self._at >= PATIENCE


def mean_of(texts: list[str]) -> str:
    """One booster whose raw score is the mean of several: all their trees, with leaves divided by their number."""
    first, *others = boosters = [lgb.Booster(model_str=text) for text in texts]
    for booster in boosters:
        for tree, content in enumerate(booster.dump_model()["tree_info"]):
            for leaf in range(content["num_leaves"]):
                booster.set_leaf_output(tree, leaf, booster.get_leaf_output(tree, leaf) / len(boosters))
    for booster in others:
        _safe_call(_LIB.LGBM_BoosterMerge(first._handle, booster._handle))
    return str(first.model_to_string())


def quick(X: Floats, y: Floats, other: Floats, *, seed: int, rounds: int = 40) -> Floats:
    """Probabilities of other rows by a small booster: for controls, not for answers."""
    return np.asarray(small(X, y, seed=seed, rounds=rounds).predict(other))


def small(X: Floats, y: Floats, *, seed: int, rounds: int = 40) -> lgb.Booster:
    """A small booster of probabilities."""
    parameters = {"objective": "binary", "num_leaves": 15, "verbosity": -1, "seed": seed, "deterministic": "true",
                  "force_row_wise": "true", "num_threads": 1}  # fmt: skip
    return lgb.train(parameters, lgb.Dataset(X, y), rounds)
