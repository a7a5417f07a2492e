"""The rows of a data set as numbers: what LightGBM and the regressions read."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.events.draws import share_of
from features.snapshot import WEIGHT
from features.system.parallel import each
from serving.model.linear import LinearPart, squash
from serving.model.numbers import Floats, model_matrix
from training.dataset.dataset import Dataset

#: which number of a user decides its fold
_FOLDS = 3
#: columns that are read together
COLUMNS = 16


@dataclass(frozen=True)
class Matrices:
    """A data set, laid out; every attribute but the names has an entry a row.

    Attributes:
        names: columns of ``X``: numeric features, then traits.
        categories: values of each trait, by code.
        X, y, weights: features, answers, and how many rows each row stands for.
        share: a number in [0, 1) that is the user's own; folds are cut from it, so that all rows of a user lie in one.
        cutoffs: microseconds.
        slices: which rows ``learn`` and ``test`` hold, and ``all``.
    """

    names: list[str]
    categories: dict[str, list[str]]
    X: Floats
    y: Floats
    weights: Floats
    share: Floats
    cutoffs: NDArray[np.int64]
    slices: dict[str, NDArray[np.int64]]

    @classmethod
    def of(cls, data: Dataset, definition: Definition) -> "Matrices":
        """Lay a data set out."""
        features, rows = feature_set(definition), data.rows
        categories = {t: sorted(rows[t].drop_nulls().unique().to_list()) for t in features.traits}
        inside = {name: data.inside(name).arg_true().to_numpy().astype(np.int64) for name in ("learn", "test")}
        return cls(
            names=[*features.numeric, *categories],
            categories=categories,
            X=model_matrix(rows, list(features.numeric), categories),
            y=rows["label"].to_numpy().astype(np.float64),
            weights=rows[WEIGHT].to_numpy(),
            share=share_of(rows["user"], _FOLDS).to_numpy(),
            cutoffs=rows["cutoff"].cast(pl.Datetime("us", "UTC")).dt.epoch("us").to_numpy(),
            slices={**inside, "all": np.arange(len(rows))},
        )

    def at(self, rows: NDArray[np.int64]) -> "Matrices":
        """Some of the rows, as a set of their own."""
        return Matrices(
            self.names, self.categories, self.X[rows], self.y[rows], self.weights[rows], self.share[rows],
            self.cutoffs[rows], {"all": np.arange(len(rows))},
        )  # fmt: skip

    def part(self, name: str) -> "Matrices":
        """The rows of a slice."""
        return self if name == "all" else self.at(self.slices[name])

    @property
    def sizes(self) -> list[int]:
        """How many values each trait has."""
        return [len(values) for values in self.categories.values()]

    @property
    def numeric(self) -> int:
        """How many columns are numbers."""
        return len(self.names) - len(self.categories)

    @cached_property
    def standard(self) -> LinearPart:
        """How a regression reads the rows, without weights: what each column's mean and spread are, and those of flags.

        By all rows, since no answer has a part in it; computed once for all regressions.
        """
        numbers = self.X[:, : self.numeric]
        found = each(range(0, self.numeric, COLUMNS), lambda at: _spread(numbers[:, at : at + COLUMNS]))
        center, spread, missing = (np.concatenate(part) for part in zip(*found, strict=True))
        part = LinearPart(
            center=center.tolist(),
            scale=np.where(spread > 1e-9, spread, 1.0).tolist(),
            flagged=np.flatnonzero(missing).tolist(),
            flag_means=[],
            weights=[],
            intercept=0.0,
        )
        return part.model_copy(update={"flag_means": part.over(self.sizes).flags(self.X).mean(axis=0).tolist()})

    def folds(self, count: int) -> NDArray[np.int64]:
        """Which of so many folds each row lies in, numbered from 0 on; folds without users are left out."""
        return np.unique(np.floor(self.share * count), return_inverse=True)[1].astype(np.int64)


def _spread(numbers: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Mean, standard deviation and whether some are missing, a column."""
    squashed = squash(numbers)
    missing = np.isnan(squashed)
    n = np.maximum((~missing).sum(axis=0), 1)
    center = np.where(missing, 0.0, squashed).sum(axis=0) / n
    spread = np.sqrt(np.where(missing, 0.0, (squashed - center) ** 2).sum(axis=0) / n)
    return center, spread, np.asarray(missing.any(axis=0), dtype=np.bool_)
