"""Scored users: what was said of them, as a frame, as records, or of a few as lists."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.rows import INSTANT, FeatureRows
from segments.lead_score import LINE
from segments.rfm import SCORES
from segments.value_to_date import VALUE_TO_DATE
from serving.scoring.record import Change, Reason, ScoreRecord
from serving.scoring.serialize import json_of, record_columns, records_of, said_of


class Scored:
    """Scored users.

    Columns: ``user, cutoff, state, rfm_…, <outcome>_probability (or _amount), …_percentile, …_tier, …_why, …_detail,
    …_extrapolated, segments, leaves`` (segments whose ``exit_when`` holds), ``holdout, last_seen``, those
    of `VALUE_TO_DATE` and of lead scores.

    Args:
        rows: what they were scored on.
        columns: what was said of them, as a frame or, of a few users, as lists.
        versions: the model of each outcome, or None.
        definition: by which they were scored.
        version: its name and digest; a thousand users should not work it out a thousand times.
    """

    def __init__(
        self,
        rows: FeatureRows,
        columns: pl.DataFrame | Mapping[str, list[Any]],
        versions: Mapping[str, str | None],
        definition: Definition,
        version: str,
    ) -> None:
        self.rows = rows
        self._columns, self._versions, self._definition, self._version = columns, versions, definition, version

    @cached_property
    def frame(self) -> pl.DataFrame:
        """What was said, as a frame."""
        if isinstance(self._columns, pl.DataFrame):
            return self._columns
        kinds: dict[str, pl.DataType] = {"cutoff": INSTANT, "last_seen": INSTANT}
        kinds |= dict.fromkeys(("segments", "leaves", "holdout"), pl.List(pl.String()))
        kinds |= dict.fromkeys(("user", "state", "rfm_group"), pl.String()) | dict.fromkeys(SCORES, pl.Int64())
        kinds |= dict.fromkeys(VALUE_TO_DATE, pl.Float64())
        for name in self._definition.leads:
            kinds |= {f"{name}_points": pl.Float64(), f"{name}_lines": pl.List(LINE)}
        for name in self._versions:
            kinds |= {f"{name}_{key}": dtype for key, dtype in said_of(self._definition.asked[name]).items()}
        return pl.DataFrame(self._columns, schema_overrides=kinds)

    @property
    def records(self) -> pl.DataFrame:
        """The same with the record's names and nesting."""
        return self.frame.select(record_columns(self._versions, self._definition, self._version))

    def to_json(self) -> str:
        """Write the records as JSON, without reasons and changes; seven times as fast as by way of models."""
        return json_of(self.records, self._definition)

    def column(self, name: str) -> list[Any]:
        """What was said under a name."""
        columns = self._columns
        return columns.get_column(name).to_list() if isinstance(columns, pl.DataFrame) else columns[name]

    def said(self, outcome: str) -> NDArray[np.bool_]:
        """Of whom a likelihood, or an amount, was said."""
        answers = self.column(f"{outcome}_{self._definition.asked[outcome].answer}")
        return np.array([answer is not None for answer in answers], dtype=np.bool_)

    def to_records(
        self,
        reasons: Mapping[str, list[list[Reason]]] | None = None,
        changes: Mapping[str, list[Change | None]] | None = None,
    ) -> list[ScoreRecord]:
        """Make records, with each outcome's reasons and changes where given."""
        return records_of(self.column, self._versions, self._definition, self._version, reasons or {}, changes or {})
