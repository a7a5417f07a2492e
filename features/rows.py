"""Feature rows as a matrix with keys: what the models read, and a frame of named columns for reading by name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

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
        traits: the trait columns, in the order of the feature set.
        drawn_as: of users of several ids the id by which their holdout is drawn, where that is another.
    """

    features: FeatureSet
    users: pl.Series
    cutoffs: Instants
    matrix: NDArray[np.float64]
    traits: Mapping[str, Texts]
    drawn_as: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.users)

    def take(self, which: NDArray[np.int64]) -> "FeatureRows":
        """Some of the rows, by number."""
        traits = {name: texts.take(which) for name, texts in self.traits.items()}
        users, cutoffs, matrix = self.users.gather(which), self.cutoffs[which], self.matrix[which]
        return FeatureRows(self.features, users, cutoffs, matrix, traits, self.drawn_as)

    def values(self, columns: Iterable[str]) -> dict[str, Value]:
        """The columns asked for; names that are neither features nor traits are passed over."""
        wanted = set(columns)
        numbers = ((name, i) for i, name in enumerate(self.features.numeric) if name in wanted)
        found: dict[str, Value] = {name: np.ascontiguousarray(self.matrix[:, i]) for name, i in numbers}
        return found | {name: texts for name, texts in self.traits.items() if name in wanted}

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
        text = [t.to_series().alias(name) for name, t in self.traits.items() if wanted is None or name in wanted]
        return pl.DataFrame([self.users.alias("user"), cutoff, *named, *text])


@kept
def _derived(definition: Definition) -> tuple[Program, dict[str, int]]:
    """What makes the derived columns, and where in the matrix the columns are of which it makes them."""
    program = Program(definition.derived)
    places = {name: i for i, name in enumerate(feature_set(definition).read) if name in program.columns}
    return program, places


def rows_of(
    definition: Definition,
    users: pl.Series,
    cutoffs: Instants,
    matrix: NDArray[np.float64],
    traits: Mapping[str, Texts] = MappingProxyType({}),
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
        program, places = _derived(definition)
        known: dict[str, Value] = {name: matrix[:, i] for name, i in places.items()}
        numbers = program.numbers(known, len(matrix))
        numbers[~np.isfinite(numbers)] = np.nan
        matrix[:, len(features.read) :] = numbers.T
    return FeatureRows(features, users, cutoffs, matrix, traits)
