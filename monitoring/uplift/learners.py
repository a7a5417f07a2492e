"""Learners of uplift: what happens to a user without and with acting, by models that have not seen the user."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from serving.model.numbers import Floats
from serving.model.uplift import Responses
from training.fitting.trees import small

#: so many folds over users
FOLDS = 5

Learner = Callable[[Floats, Floats, Floats], Responses]


def s_learner(X: Floats, treated: Floats, y: Floats) -> Responses:
    """One model with the assignment as a column (Künzel et al. 2019).

    Args:
        X: features of the users of an experiment.
        treated: 1 for who was assigned to the treated arm.
        y: their outcomes.
    """
    return Responses([small(np.column_stack([X, treated]), y, seed=0).model_to_string()])


def t_learner(X: Floats, treated: Floats, y: Floats) -> Responses:
    """A model of each arm; the arguments are those of `s_learner`."""
    arms = (treated == flag for flag in (0.0, 1.0))
    return Responses([small(X[arm], y[arm], seed=0).model_to_string() for arm in arms])


#: the first is taken unless another ranks better beyond noise
LEARNERS: Mapping[Literal["s", "t"], Learner] = MappingProxyType({"s": s_learner, "t": t_learner})


def cross_fitted(
    learner: Learner, X: Floats, treated: Floats, y: Floats, folds: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """What a learner predicts of each user without and with acting, fitted on the users of all other folds.

    Fitted on nearly all users, these are close to what serves. They cannot judge it: a model of fold 1 has learnt from
    the noise of fold 2 and the other way round, so that their errors go together (see `sequential`).
    """
    low, high = np.empty(len(y)), np.empty(len(y))
    for fold in np.unique(folds):
        inside = folds == fold
        low[inside], high[inside] = learner(X[~inside], treated[~inside], y[~inside]).predict(X[inside])
    return low, high


class Sequential(NamedTuple):
    """What a learner predicts of users of each fold but the first, fitted on those of earlier folds.

    Attributes:
        rows: which users they are.
        low, high: of each of them, what happens without and with acting.
        folds: of each of them.
    """

    rows: NDArray[np.int64]
    low: Floats
    high: Floats
    folds: NDArray[np.int64]


def sequential(learner: Learner, X: Floats, treated: Floats, y: Floats, folds: NDArray[np.int64]) -> Sequential:
    """Predict each fold but the first by a learner that has seen the earlier ones alone (Wager 2024, arXiv:2405.05534).

    No two folds learn from each other, so that what a ranking is found to be worth in each adds up with its standard
    error. It is worth a little less than what serves, which is fitted on more users.

    Args:
        learner: the learner.
        X: features of the users of an experiment.
        treated: 1 for who was assigned to the treated arm.
        y: their outcomes.
        folds: of each user, a whole number that has nothing to do with what is known of the user.
    """
    parts = []
    for fold in np.unique(folds)[1:]:
        before, inside = folds < fold, np.flatnonzero(folds == fold)
        low, high = learner(X[before], treated[before], y[before]).predict(X[inside])
        parts.append(Sequential(inside, low, high, folds[inside]))
    return Sequential(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def within_folds(priorities: Floats, folds: NDArray[np.int64]) -> Floats:
    """Each user's place among those of the same fold, in (0, 1]; equal ones share it.

    Models of several folds differ in level, the more so the fewer the users: a fold that happens to respond less is
    left out of the model that ranks it higher. Compared across folds, rankings look worse than they are.
    """
    places = np.empty(len(priorities))
    for fold in np.unique(folds):
        inside = folds == fold
        places[inside] = rankdata(priorities[inside]) / inside.sum()
    return places
