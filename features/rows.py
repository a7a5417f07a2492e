"""Feature rows as a matrix with keys: what the models read, and a frame of named columns for reading by name."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.columns import FeatureSet, feature_set
from features.definition.memoise import kept
from features.definition.schema import Definition
from features.expressions.program import Program
from features.expressions.values import Texts, Value
from features.time import Instants

INSTANT = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """Feature rows, one a user and cutoff.

    Attributes:
        features: which columns the matrix has.
        users: whose rows.
        cutoffs: the instants they speak of.
        matrix: ``[rows, numeric features]``, NaN where there is nothing to say; of columns that each lie in one piece,
            since frames and expressions read columns.
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

    def values(self, columns: Iterable[str]) -> dict[str, Value]:
        """The columns asked for; names that are neither features nor traits are passed over."""
        wanted = set(columns)
        numbers = ((name, i) for i, name in enumerate(self.features.numeric) if name in wanted)
        found: dict[str, Value] = {name: np.ascontiguousarray(self.matrix[:, i]) for name, i in numbers}
        return found | {series.name: Texts.of_series(series) for series in self.traits if series.name in wanted}

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


@kept
def _derived(definition: Definition) -> Program:
    """What makes the derived columns."""
    return Program(definition.derived)


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
    if features.derived:
        program = _derived(definition)
        known: dict[str, Value] = {n: matrix[:, i] for i, n in enumerate(features.read) if n in program.columns}
        for i, value in enumerate(program.run(known).values(), len(features.read)):
            number = np.asarray(np.nan if value is None else value, dtype=np.float64)
            matrix[:, i] = np.where(np.isfinite(number), number, np.nan)
    return FeatureRows(features, users, cutoffs, matrix, pl.DataFrame() if traits is None else traits)
