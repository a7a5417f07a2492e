"""Scored users: their answers as a frame, as records, or as lists."""

from collections.abc import Collection, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.expressions.values import Numbers, Texts, Value
from features.rows import INSTANT, FeatureRows
from features.time import Instants, to_datetime
from segments.evaluator import Names
from segments.lead_score import Lines
from segments.rfm import SCORES
from serving.scoring.reasons.columns import Changes, Reasons
from serving.scoring.record import ScoreRecord
from serving.scoring.serialize import MadeBy, UpliftVersion, json_of, record_columns, records_of

#: a column of answers: numbers, instants (whole numbers), texts, lists of names or of points
Column: TypeAlias = Numbers | Instants | Texts | Names | Lines | pl.Series


class Scored:
    """Scored users.

    Columns: ``user, cutoff, state, rfm_…, <outcome>_probability (or _amount), …_percentile, …_tier, …_why, …_detail,
    …_extrapolated, segments, leaves`` (segments whose ``exit_when`` holds), ``holdout, last_seen``, those
    of `VALUE_TO_DATE`, of lead scores, and of uplift.

    Args:
        rows: what they were scored on.
        columns: their answers.
        versions: the model of each outcome, or None.
        uplifts: the uplift model of each experiment, or None.
        definition: by which they were scored.
        version: its name and digest; a thousand users should not work it out a thousand times.
    """

    def __init__(
        self,
        rows: FeatureRows,
        columns: Mapping[str, Column],
        versions: Mapping[str, str | None],
        uplifts: Mapping[str, UpliftVersion | None],
        definition: Definition,
        version: str,
    ) -> None:
        self.rows = rows
        self._columns, self._definition = columns, definition
        self._made_by = MadeBy(versions, uplifts, version)

    @property
    def models(self) -> Mapping[str, str | None]:
        """The model of each outcome; None where there is none."""
        return self._made_by.models

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The answers as a frame."""
        return pl.DataFrame([self._series(name, column) for name, column in self._columns.items()])

    def _series(self, name: str, column: Column) -> pl.Series:
        if isinstance(column, pl.Series):
            return column.alias(name)
        if isinstance(column, np.ndarray):
            if column.dtype == np.int64:
                return pl.Series(name, column).cast(INSTANT)
            numbers = pl.Series(name, column, nan_to_null=True)
            return numbers.cast(pl.Int64) if _whole(name) else numbers
        return column.to_series().alias(name)

    @property
    def records(self) -> pl.DataFrame:
        """The same with the record's names and nesting."""
        return self.frame.select(record_columns(self._made_by, self._definition))

    def to_json(self, reasons: Mapping[str, Reasons] = MappingProxyType({})) -> str:
        """Write the records as JSON, the bytes that `to_records` would be written as, in a fraction of the time.

        Args:
            reasons: each outcome's, where asked for; changes are left out.
        """
        return json_of(self.records, self._definition, {name: one.json() for name, one in reasons.items()})

    def column(self, name: str) -> list[Any]:
        """The column of a name."""
        column = self._columns[name]
        if not isinstance(column, np.ndarray):
            return column.to_list()
        if column.dtype == np.int64:
            return [to_datetime(instant) for instant in column.tolist()]
        kind = int if _whole(name) else float
        return [None if value != value else kind(value) for value in column.tolist()]

    def text(self, name: str, row: int) -> str | None:
        """The text of a row in a column of texts."""
        column = self._columns[name]
        if not isinstance(column, Texts):
            raise KeyError(f"{name} is no column of texts")
        return column.at(row)

    def values(self, names: Collection[str]) -> dict[str, Value]:
        """The columns of a segment's rule, of the feature rows and of the answers; other names are passed over."""
        return self.rows.values(names) | {name: v for name, v in values_of(self._columns).items() if name in names}

    def names(self, column: str) -> Names:
        """A column of lists of segments: ``segments``, ``leaves`` or ``holdout``."""
        found = self._columns[column]
        if not isinstance(found, Names):
            raise KeyError(column)
        return found

    def answers(self, outcome: str) -> NDArray[np.float64]:
        """The likelihoods, or amounts; NaN where there is not enough to say."""
        return np.asarray(self._columns[f"{outcome}_{self._definition.outcomes[outcome].answer}"], dtype=np.float64)

    def answered(self, outcome: str) -> NDArray[np.bool_]:
        """Who has a likelihood, or an amount."""
        return ~np.isnan(self.answers(outcome))

    def to_records(
        self,
        reasons: Mapping[str, Reasons] = MappingProxyType({}),
        changes: Mapping[str, Changes] = MappingProxyType({}),
    ) -> list[ScoreRecord]:
        """Make records, with each outcome's reasons and changes where given."""
        why = {name: one.lists() for name, one in reasons.items()}
        moved = {name: one.lists() for name, one in changes.items()}
        return records_of(self.column, self._made_by, self._definition, why, moved)


def values_of(columns: Mapping[str, Column]) -> dict[str, Value]:
    """Columns that rules may name: numbers and texts; instants are whole numbers."""
    found: dict[str, Value] = {}
    for name, column in columns.items():
        if isinstance(column, Texts):
            found[name] = column
        elif isinstance(column, np.ndarray) and column.dtype == np.float64:
            found[name] = column.astype(np.float64, copy=False)
    return found


def _whole(name: str) -> bool:
    """Whether a column holds whole numbers."""
    return name in SCORES or name.endswith("_percentile")
