"""Labels of snapshot rows, made while the events are at hand and kept beside the features as ``label_<outcome>``."""

from pathlib import Path

import polars as pl

from features.definition.schema import Definition
from features.events.events import Events
from features.events.write import part_files
from features.expressions.program import holds
from features.snapshot import WEIGHT
from features.time import to_datetime
from training.dataset.outcomes import label, last_cutoff


class Labels:
    """Adds labels to snapshot rows: null outside an outcome's population, or where the label is not known yet.

    Args:
        definition: whose outcomes.
    """

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self.schema = pl.Schema(
            {f"label_{name}": pl.Float64() if name in definition.amounts else pl.Int8() for name in definition.outcomes}
        )

    def add(self, events: Events, rows: pl.DataFrame) -> pl.DataFrame:
        """Label some users' rows."""
        labels = []
        for outcome, rule in self._definition.outcomes.items():
            newest = to_datetime(last_cutoff(self._definition, outcome, events.ends))
            inside = (rows["cutoff"] <= newest) & holds(rule.among, rows)
            answer = label(events, rows.select("user", "cutoff").filter(inside), self._definition, outcome)
            at = pl.Series(inside.arg_true())
            name = f"label_{outcome}"
            labels.append(pl.Series(name, [None] * len(rows), self.schema[name]).scatter(at, answer))
        return rows.with_columns(labels)


def labelled(snapshots: Path, outcome: str) -> pl.DataFrame:
    """The labelled rows of an outcome, ``user, cutoff, weight, label``, sorted by cutoff and user."""
    label = pl.col(f"label_{outcome}").alias("label")
    rows = pl.scan_parquet(part_files(snapshots)).select("user", "cutoff", WEIGHT, label)
    return rows.filter(pl.col("label").is_not_null()).sort("cutoff", "user").collect()
