"""Predictions on the disk: one file per outcome and draw, named by its first instant."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import polars as pl

from features.definition.schema import Definition
from features.events.compacted import Compacted
from features.system.files.durable import new_folder, replacing
from features.time import SECOND
from features.traits import latest_traits

#: what is kept of each; traits stand beside it as ``trait.<name>``
PREDICTED: Final = pl.Schema(
    {"user": pl.String(), "at": pl.Int64(), "version": pl.String(), "answer": pl.Float64(), "tier": pl.String(),
     "state": pl.String()}
)  # fmt: skip

TRAIT: Final = "trait."


class PredictionFiles:
    """The predictions of one source: batches, or the service.

    Args:
        definition: the definition.
        folder: a folder for each outcome is in it.
        span: rows of a file are of less than so long after the instant in its name.
    """

    def __init__(self, definition: Definition, folder: Path, span: int) -> None:
        self.definition, self.folder, self.span = definition, folder, span

    def file(self, outcome: str, at: int) -> Path:
        """The file of an instant's predictions of an outcome."""
        return self.folder / outcome / f"{at}.parquet"

    def batches(self, outcome: str) -> list[int]:
        """The instants of which predictions are kept, ascending."""
        return sorted(int(file.stem) for file in (self.folder / outcome).glob("*.parquet"))

    def rows(self, outcome: str, instants: Iterable[int]) -> pl.DataFrame:
        """Predictions of some instants: `PREDICTED`, and the traits as they were then."""
        parts = [pl.read_parquet(self.file(outcome, at)) for at in instants]
        return pl.concat(parts, how="diagonal") if parts else PREDICTED.to_frame()

    def without_recent(self, rows: pl.DataFrame, outcome: str, at: int) -> pl.DataFrame:
        """Leave out users whose last prediction is so new that an event could answer both."""
        reach = self.definition.outcomes[outcome].within + self.span - SECOND  # names are to the second
        recent = [earlier for earlier in self.batches(outcome) if at - reach < earlier < at]
        return rows.join(self.rows(outcome, recent).select("user"), on="user", how="anti", maintain_order="left")

    def write(self, rows: pl.DataFrame, outcome: str, at: int, live: Compacted) -> None:
        """Keep predictions of an instant, with the traits that were known by then."""
        if (traits := latest_traits(self.definition, at, live)) is not None:
            names = {name: f"{TRAIT}{name}" for name in traits.columns if name != "user"}
            rows = rows.join(traits.rename(names), on="user", how="left", maintain_order="left")
        file = self.file(outcome, at)
        new_folder(file.parent)
        with replacing(file) as fresh:
            rows.write_parquet(fresh, compression="zstd")

    def forget(self, before: int) -> None:
        """Remove the predictions of before an instant."""
        for outcome in self.definition.outcomes:
            for at in self.batches(outcome):
                if at < before:
                    self.file(outcome, at).unlink()
