"""Labels on disk: of each outcome's population at every cutoff whose label is known."""

import shutil
from pathlib import Path

import polars as pl

from features.definition.schema import Definition
from features.log.events import Events
from features.rows import INSTANT, expression
from features.snapshot import WEIGHT
from features.time import to_datetime
from training.outcomes import label, last_cutoff


def labels_path(folder: Path) -> Path:
    """Where labels lie, beside the snapshots."""
    return folder / "labels"


SCHEMA = pl.Schema({"user": pl.String(), "cutoff": INSTANT, WEIGHT: pl.Float64(), "label": pl.Int8()})


class Labels:
    """Writes labels beside the snapshots, some users at a time, while their events are at hand.

    Args:
        definition: whose outcomes.
        folder: emptied first; gets ``<outcome>/part-….parquet`` with ``user, cutoff, weight, label``.
    """

    def __init__(self, definition: Definition, folder: Path) -> None:
        self._definition = definition
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        for outcome in definition.outcomes:
            (folder / outcome).mkdir(parents=True)

    def __call__(self, events: Events, rows: pl.DataFrame, name: str) -> None:
        """Label some users' snapshot rows."""
        for outcome, rule in self._definition.outcomes.items():
            newest = to_datetime(last_cutoff(self._definition, outcome, events.ends))
            inside = (pl.col("cutoff") <= newest) & expression(rule.among).fill_null(False)
            asked = rows.filter(inside).select("user", "cutoff", WEIGHT)
            if len(asked):
                answer = asked.with_columns(label(events, asked, self._definition, outcome))
                answer.write_parquet(self._folder / outcome / f"{name}.parquet")


def labelled(folder: Path, outcome: str) -> pl.DataFrame:
    """The labels of an outcome, ``user, cutoff, weight, label``, sorted by cutoff and user."""
    files = sorted((folder / outcome).glob("*.parquet"))
    rows = pl.read_parquet(files) if files else pl.DataFrame(schema=SCHEMA)
    return rows.sort("cutoff", "user")
