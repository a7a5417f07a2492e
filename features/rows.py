"""Feature rows as a matrix with keys: what the models read, and a frame of named columns for whoever asks by name."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.columns import FeatureSet, feature_set
from features.definition.memoise import kept
from features.definition.schema import Definition
from features.expressions.columnar import expression as expression
from features.expressions.compiled import compiled
from features.time import Instants

INSTANT = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """Feature rows, one a user and cutoff.

    Attributes:
        features: which columns the matrix has.
        users: whose rows.
        cutoffs: the instants they speak of.
        matrix: ``[rows, numeric features]``, NaN where there is nothing to say.
        traits: the trait columns, as text, in the order of the feature set.
    """

    features: FeatureSet
    users: pl.Series
    cutoffs: Instants
    matrix: NDArray[np.float64]
    traits: pl.DataFrame

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.users)

    def few(self, columns: Iterable[str]) -> list[dict[str, float | str | None]]:
        """Rows as dictionaries of the columns asked for, None where there is nothing to say; as `frame`, for a few."""
        wanted = set(columns)
        numbers = [(name, i) for i, name in enumerate(self.features.numeric) if name in wanted]
        text = {series.name: series.to_list() for series in self.traits if series.name in wanted}
        return [
            {name: None if (v := float(values[i])) != v else v for name, i in numbers}
            | {name: found[row] for name, found in text.items()}
            for row, values in enumerate(self.matrix)
        ]

    def frame(self, columns: Iterable[str] | None = None) -> pl.DataFrame:
        """Name columns: ``user``, ``cutoff`` (UTC) and the features asked for, null where there is nothing to say.

        Args:
            columns: features and traits; all of them when left out. Names that are neither are passed over.
        """
        wanted = None if columns is None else set(columns)
        named = [
            pl.Series(name, self.matrix[:, i], nan_to_null=True)
            for i, name in enumerate(self.features.numeric)
            if wanted is None or name in wanted
        ]
        cutoff = pl.Series("cutoff", self.cutoffs).cast(INSTANT)
        text = [s for s in self.traits if wanted is None or s.name in wanted]
        return pl.DataFrame([self.users.alias("user"), cutoff, *named, *text])


#: so many rows are worked on one by one, which takes less than making a frame of them
FEW = 20


def _derive_few(definition: Definition, features: FeatureSet, matrix: NDArray[np.float64]) -> bool:
    """Fill in the derived columns of a few rows; false when there are too many."""
    if len(matrix) > FEW:
        return False
    made = [compiled(sql) for sql in definition.derived.values()]
    place = _places(definition)
    for values in matrix:
        known = {name: None if (v := float(values[i])) != v else v for name, i in place.items()}
        for column, make in enumerate(made, len(features.read)):
            value = make(known)
            values[column] = value if value is not None and math.isfinite(value) else np.nan
    return True


@kept
def _places(definition: Definition) -> dict[str, int]:
    """Where the columns stand that the derived ones are made of."""
    inputs = {name for sql in definition.derived.values() for name in expression(sql).meta.root_names()}
    return {name: i for i, name in enumerate(feature_set(definition).read) if name in inputs}


def rows_of(
    definition: Definition,
    users: pl.Series,
    cutoffs: Instants,
    matrix: NDArray[np.float64],
    traits: pl.DataFrame | None = None,
) -> FeatureRows:
    """Complete what the kernel has read: fill in the derived columns.

    Args:
        definition: the definition.
        users: whose rows.
        cutoffs: the instants.
        matrix: ``[rows, numeric features]``; the columns the kernel reads are there, the derived ones are written.
        traits: the trait columns; without them the rows have none.
    """
    features = feature_set(definition)
    if features.derived and not _derive_few(definition, features, matrix):
        exprs = [expression(sql).cast(pl.Float64).alias(name) for name, sql in definition.derived.items()]
        inputs = {name for e in exprs for name in e.meta.root_names()}
        named = [pl.Series(n, matrix[:, i], nan_to_null=True) for i, n in enumerate(features.read) if n in inputs]
        values = pl.DataFrame(named).select_seq(exprs).to_numpy()
        matrix[:, len(features.read) :] = np.where(np.isfinite(values), values, np.nan)
    return FeatureRows(features, users, cutoffs, matrix, pl.DataFrame() if traits is None else traits)
