"""Matured likelihoods in fine bins: what the monitor counted in each, as ``<outcome>.bins.parquet`` holds it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from features.errors import StoreError
from features.system.files.kept_files import reading_table

#: bins between 0 and 1; a cut-off at the edge of one splits no bin
STEPS: Final = 200

#: of the file in the monitoring folder
SUFFIX: Final = ".bins.parquet"

#: predictions of a version in a population whose probability is in ``[bin, bin + 1) / STEPS``: how many, the sum of
#: probabilities, of their weights and of the squares of these, and what was expected by weight; the same of those that
#: came true; and how many different users are in all bins of the version and the population, of which batches
BINS: Final = pl.Schema(
    {"version": pl.String(), "population": pl.String(), "bin": pl.Int64(), "users": pl.Int64(),
     "predicted": pl.Float64(), "weight": pl.Float64(), "squares": pl.Float64(), "expected": pl.Float64(),
     "events": pl.Int64(), "event_weight": pl.Float64(), "event_squares": pl.Float64(),
     "people": pl.Int64(), "first": pl.Int64(), "last": pl.Int64()}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """Predictions of about the same value, as a reliability diagram draws them.

    Attributes:
        predicted: their mean.
        observed: the mean of what happened, or the share of users who did it.
        low: lower end of its 95 % interval.
        high: upper end of it.
        rows: how many.
    """

    predicted: float
    observed: float
    low: float
    high: float
    rows: int


def bins_published(folder: Path, outcome: str) -> pl.DataFrame | None:
    """The bins of an outcome's newest version that has matured; None where there are none.

    Args:
        folder: the monitoring folder.
        outcome: a likelihood.

    Raises:
        StoreError: the file is damaged, or is of an older version of this program.
    """
    file = folder / f"{outcome}{SUFFIX}"
    if not file.exists():
        return None
    fix = "propensity monitor writes it again"
    with reading_table(file, fix=fix) as rows:
        found = rows.collect()
    if found.schema != BINS:
        raise StoreError(f"{file} has other columns than this version reads.", fix=fix)
    return found if len(found) else None
