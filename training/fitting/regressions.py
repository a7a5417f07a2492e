"""Regularised regressions by folds over users, and their mean as one regression. Pure: data in, numbers out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from features.system.parallel import each
from serving.model.linear import Floats, Linear, LinearPart
from training.dataset.matrices import Matrices
from training.fitting.objective import Columns, Objective

#: a fold's regression is fitted on so many rows at most, drawn for each fold again: the mean of them has seen more
MOST_ROWS = 60_000
#: rows that are laid out together
AT_ONCE = 16_384


@dataclass(frozen=True, slots=True)
class Regression:
    """Regressions of all folds.

    Attributes:
        part: their mean.
        held_out: each row's score by the regression that has not seen its user.
    """

    part: LinearPart
    held_out: Floats


def regress(
    family: Objective, matrices: Matrices, weights: Floats, signs: list[int], folds: NDArray[np.int64], seed: int,
    columns: list[str] | None = None,
) -> Regression:  # fmt: skip
    """Fit a regression a fold on the users of the others, and take their mean.

    Args:
        family: of the answers.
        matrices: the rows.
        weights: of the rows.
        signs: which way each column of the matrix may move the answer; one whose weight would go the other way is left
            out.
        folds: which fold each row lies in, from 0 on.
        seed: of the rows that are drawn.
        columns: names of the numbers that are read; all, and traits, when left out.
    """
    whole = matrices.standard
    narrow, kept, places = _read(whole, matrices, columns)
    sizes = matrices.sizes if columns is None else []
    over, X = narrow.over(sizes), matrices.X if columns is None else matrices.X[:, kept]
    expanded = _expanded(over, X)
    allowed = np.zeros(len(places), dtype=np.int64)  # a flag, of what is missing or of a trait, may go either way
    allowed[: len(kept)] = np.array(signs)[kept]

    def one(fold: int) -> tuple[Floats, float]:
        rows = np.flatnonzero(folds != fold)
        rows = np.random.default_rng([seed, fold]).permutation(rows)[:MOST_ROWS]
        return _signed(family, expanded[rows], matrices.y[rows], weights[rows], allowed)

    # folds are fitted on all cores already; with threads of its own in each, linear algebra took 2.5 times as long
    with threadpool_limits(1, user_api="blas"):
        found = list(each(range(int(folds.max()) + 1), one))
    held_out = np.empty(len(expanded))
    for fold, (own, level) in enumerate(found):
        rows = folds == fold
        held_out[rows] = expanded[rows] @ own + level
    mean = np.zeros(matrices.numeric + len(whole.flag_means))
    mean[places] = np.mean([w for w, _ in found], axis=0)
    level = float(np.mean([i for _, i in found]))
    return Regression(whole.model_copy(update={"weights": mean.tolist(), "intercept": level}), held_out)


def _read(
    whole: LinearPart, matrices: Matrices, columns: list[str] | None
) -> tuple[LinearPart, NDArray[np.int64], NDArray[np.int64]]:
    """The regression over the numbers that are read, which numbers these are, and where its columns stand in it all."""
    numeric = matrices.numeric
    if columns is None:
        return whole, np.arange(numeric), np.arange(numeric + len(whole.flag_means))
    kept = [i for i, name in enumerate(matrices.names[:numeric]) if name in columns]
    flags = [i for i, column in enumerate(whole.flagged) if column in kept]
    part = LinearPart(
        center=[whole.center[i] for i in kept],
        scale=[whole.scale[i] for i in kept],
        flagged=[kept.index(whole.flagged[i]) for i in flags],
        flag_means=[whole.flag_means[i] for i in flags],
        weights=[],
        intercept=0.0,
    )
    return part, np.array(kept, dtype=np.int64), np.array([*kept, *(numeric + i for i in flags)], dtype=np.int64)


def _expanded(over: Linear, X: Floats) -> Columns:
    """A matrix as the regression reads it, some rows at a time on all cores."""
    answer = np.empty((len(X), len(over.owners)), dtype=np.float32)

    def fill(begin: int) -> None:
        answer[begin : begin + AT_ONCE] = over.columns(X[begin : begin + AT_ONCE])

    for _ in each(range(0, len(X), AT_ONCE), fill):
        pass
    return answer


def _signed(
    family: Objective, columns: Columns, y: Floats, weights: Floats, allowed: NDArray[np.int64]
) -> tuple[Floats, float]:
    """Fit; a column whose weight would break its declared sign is left out, until none does."""
    used = np.ones(len(allowed), dtype=np.bool_)
    while True:
        found = np.zeros(len(allowed))
        found[used], intercept = family.regression(columns if used.all() else columns[:, used], y, weights)
        wrong = found * allowed < 0
        if not wrong.any():
            return found, intercept
        used &= ~wrong
