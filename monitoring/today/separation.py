"""How well classifiers tell the users of two instants apart: by trees, and by a line through the ranks."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import polars as pl
from scipy.stats import rankdata

from features.events.draws import evenly
from monitoring.statistics.inputs import Floats
from training.evaluation.metrics import Ranking, metrics
from training.fitting.trees import quick

#: of the line: what is added to the variance of each column, which is 1
RIDGE = 1.0

#: rows to learn from, whose they are, and rows to tell apart
Classifier = Callable[[Floats, Floats, Floats], Floats]


def _trees(x: Floats, y: Floats, other: Floats) -> Floats:
    return quick(x, y, other, seed=0)


def _line(x: Floats, y: Floats, other: Floats) -> Floats:
    """Ridge regression on the ranks of each column, with the middle rank for what is missing (Friedman 1989).

    Where a few hundred users do more or less of everything, a line needs fewer of them than trees to see it; trees see
    what is no matter of more or less.
    """
    ranks = _ranks(np.concatenate([x, other]))
    mine, theirs = ranks[: len(x)], ranks[len(x) :]
    middle, spread = mine.mean(axis=0), mine.std(axis=0)
    mine, theirs = ((part - middle) / np.where(spread > 0, spread, 1.0) for part in (mine, theirs))
    covariance = mine.T @ mine / len(y) + RIDGE * np.eye(x.shape[1])
    return np.asarray(theirs @ np.linalg.solve(covariance, mine.T @ (y - y.mean()) / len(y)))


def _ranks(x: Floats) -> Floats:
    """Each column's ranks, from -1/2 to 1/2; 0 for what is missing."""
    ranks = rankdata(x, axis=0, nan_policy="omit")
    ranks = (ranks - 0.5) / np.maximum((~np.isnan(x)).sum(axis=0), 1) - 0.5
    return np.asarray(np.nan_to_num(ranks, nan=0.0))


CLASSIFIERS: Mapping[str, Classifier] = MappingProxyType({"trees": _trees, "line": _line})


def separation(one: pl.DataFrame, other: pl.DataFrame, columns: list[str]) -> dict[str, float]:
    """AUC of each classifier of the two sides, on the half of the users that it was not fitted on.

    Args:
        one: ``user`` and the columns, at an instant.
        other: the same at another one.
        columns: by which they differ.

    Returns:
        By the classifier's name; 0.5 where a half has users of one side only.
    """
    users = pl.concat([one["user"], other["user"]])
    x = np.concatenate([one.select(columns).to_numpy(), other.select(columns).to_numpy()]).astype(np.float64)
    y = np.concatenate([np.ones(len(one)), np.zeros(len(other))])
    half = evenly(users.to_list()) < 0.5
    if any(not 0 < y[side].sum() < side.sum() for side in (half, ~half)):
        return dict.fromkeys(CLASSIFIERS, 0.5)
    found = {}
    for name, classifier in CLASSIFIERS.items():
        p = np.zeros(len(y))
        for side in (half, ~half):
            p[side] = classifier(x[~side], y[~side], x[side])
        found[name] = float(metrics(Ranking.of(p), y, np.ones(len(y)))["auc"])
    return found
