"""Regularised regressions by folds over users, and their mean as one regression. Pure: data in, numbers out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from features.system.parallel import each
from serving.model.linear import Floats, LinearPart, squash
from training.dataset.matrices import Matrices
from training.fitting.objective import Objective

#: a fold's regression is fitted on so many rows at most, drawn for each fold again: the mean of them has seen more
MOST_ROWS = 60_000


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
        columns: names of those that are read; all when left out.
    """
    empty = _standard(matrices)
    over = empty.over(matrices.sizes)
    expanded, owners = over.columns(matrices.X), over.owners
    read = np.array([columns is None or name in columns for name in matrices.names])[owners]
    allowed = np.where(owners < matrices.numeric, np.array(signs)[owners], 0)
    allowed[matrices.numeric :] = 0  # a flag of what is missing may go either way

    def one(fold: int) -> tuple[Floats, float]:
        rows = np.flatnonzero(folds != fold)
        rows = np.random.default_rng([seed, fold]).permutation(rows)[:MOST_ROWS]
        return _signed(family, expanded[rows], matrices.y[rows], weights[rows], allowed, read)

    # folds are fitted on all cores already; with threads of its own in each, linear algebra took 2.5 times as long
    with threadpool_limits(1, user_api="blas"):
        found = list(each(range(int(folds.max()) + 1), one))
    held_out = np.empty(len(expanded))
    for fold, (own, level) in enumerate(found):
        rows = folds == fold
        held_out[rows] = expanded[rows] @ own + level
    mean = {
        "weights": np.mean([w for w, _ in found], axis=0).tolist(),
        "intercept": float(np.mean([i for _, i in found])),
    }
    return Regression(empty.model_copy(update=mean), held_out)


def _standard(matrices: Matrices) -> LinearPart:
    """How columns are standardised: by all rows, since no answer has a part in it."""
    numbers = squash(matrices.X[:, : matrices.numeric])
    missing = np.isnan(numbers)
    filled = np.where(missing, 0.0, numbers)
    n = np.maximum((~missing).sum(axis=0), 1)
    center = filled.sum(axis=0) / n
    spread = np.sqrt(np.where(missing, 0.0, (numbers - center) ** 2).sum(axis=0) / n)
    part = LinearPart(
        center=center.tolist(),
        scale=np.where(spread > 1e-9, spread, 1.0).tolist(),
        flagged=np.flatnonzero(missing.any(axis=0)).tolist(),
        flag_means=[],
        weights=[],
        intercept=0.0,
    )
    return part.model_copy(update={"flag_means": part.over(matrices.sizes).flags(matrices.X).mean(axis=0).tolist()})


def _signed(
    family: Objective, columns: Floats, y: Floats, weights: Floats, allowed: NDArray[np.int64], read: NDArray[np.bool_]
) -> tuple[Floats, float]:
    """Fit; a column whose weight would break its declared sign is left out, until none does."""
    used = read.copy()
    while True:
        found = np.zeros(len(allowed))
        found[used], intercept = family.regression(columns[:, used], y, weights)
        wrong = found * allowed < 0
        if not wrong.any():
            return found, intercept
        used &= ~wrong
