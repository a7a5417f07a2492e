"""Learners of uplift: what happens to a user without and with acting, by models that have not seen the user."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from serving.model.numbers import Floats
from serving.model.uplift import Responses
from training.fitting.trees import small

#: cross-fitting: so many folds over users
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
    """What a learner predicts of each user, fitted on the users of the other folds."""
    low, high = np.empty(len(y)), np.empty(len(y))
    for fold in np.unique(folds):
        inside = folds == fold
        low[inside], high[inside] = learner(X[~inside], treated[~inside], y[~inside]).predict(X[inside])
    return low, high


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
