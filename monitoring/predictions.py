"""Predictions kept for monitoring: one row per user and horizon of each outcome, drawn from the batches."""

from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome, ValueOutcome
from features.events.compacted import Compacted
from features.events.draws import evenly, salt
from features.settings import Settings
from features.system.durable import new_folder, replacing
from features.time import DAY, to_instant
from features.traits import latest_traits
from serving.scoring.previous import Earlier, answered_in, field_of

#: what is kept of each; traits stand beside it as ``trait.<name>``
PREDICTED: Final = pl.Schema(
    {"user": pl.String(), "at": pl.Int64(), "version": pl.String(), "answer": pl.Float64(), "tier": pl.String(),
     "state": pl.String()}
)  # fmt: skip

#: how long they are kept: a year, and a quarter to compare it with
KEPT: Final = timedelta(days=460)

#: rows that are kept of one batch and outcome; of more, a share is drawn
MOST: Final = 20_000

#: the first batch draws as if another had run so long before
BEFORE_THE_FIRST: Final = 7 * DAY

TRAIT: Final = "trait."


class Predictions:
    """Predictions of one definition's outcomes.

    A user's rows of an outcome lie at least a horizon apart, so that no event answers two of them; who is drawn when
    is a hash of the user, so that each batch of a horizon draws others. At most `MOST` are kept of a batch.

    Args:
        definition: the definition.
        settings: where things are kept.
    """

    def __init__(self, definition: Definition, settings: Settings) -> None:
        self._definition, self._scores = definition, settings.scores(definition.name)
        self._folder = settings.monitoring(definition.name) / "predictions"

    def keep(self, live: Compacted, since: int) -> dict[int, int]:
        """Draw from each batch of scores that was not drawn from yet, the oldest first.

        Args:
            live: what of the log came by the live path: it may hold attributes.
            since: batches before this instant are passed over.

        Returns:
            How many rows were drawn, by the instant of the batch.
        """
        drawn: dict[int, int] = {}
        batches = Earlier.every(self._scores)
        for before, batch in zip([None, *batches], batches, strict=False):
            at = to_instant(batch.as_of)
            if at < since:
                continue
            last = to_instant(before.as_of) if before is not None else at - BEFORE_THE_FIRST
            for outcome, rule in self._definition.outcomes.items():
                file = self.file(outcome, at)
                if not file.exists():
                    rows = self._drawn(batch, outcome, rule, last, live)
                    if rows is not None:
                        drawn[at] = drawn.get(at, 0) + len(rows)
        return drawn

    def file(self, outcome: str, at: int) -> Path:
        """The file of one batch's predictions of an outcome."""
        return self._folder / outcome / f"{at}.parquet"

    def batches(self, outcome: str) -> list[int]:
        """The instants of the batches that are kept, ascending."""
        return sorted(int(file.stem) for file in (self._folder / outcome).glob("*.parquet"))

    def rows(self, outcome: str, instants: list[int]) -> pl.DataFrame:
        """Predictions of some batches: `PREDICTED`, and the traits as they were then."""
        files = [self.file(outcome, at) for at in instants]
        parts = [pl.read_parquet(file) for file in files]
        return pl.concat(parts, how="diagonal") if parts else PREDICTED.to_frame()

    def scored(self) -> int:
        """How many users the newest batch has scored."""
        newest = Earlier.newest(self._scores)
        if newest is None:
            return 0
        with newest.reading() as records:
            return int(records.select(pl.len()).collect().item())

    def forget(self, before: int) -> None:
        """Remove the predictions of batches before an instant."""
        for outcome in self._definition.outcomes:
            for at in self.batches(outcome):
                if at < before:
                    self.file(outcome, at).unlink()

    def _drawn(
        self, batch: Earlier, outcome: str, rule: Outcome | ValueOutcome, since: int, live: Compacted
    ) -> pl.DataFrame | None:
        """Draw from a batch, and keep what was drawn; None where the batch knows nothing of the outcome."""
        at = to_instant(batch.as_of)
        with batch.reading() as records:
            if outcome not in answered_in(self._definition, records):
                return None
            rows = records.select(
                pl.col("user_id").alias("user"),
                pl.col("as_of").dt.epoch("us").alias("at"),  # folders are named to the second
                field_of(rule, outcome, "model").alias("version"),
                field_of(rule, outcome, rule.answer).alias("answer"),
                field_of(rule, outcome, "tier").alias("tier"),
                "state",
            ).filter(pl.col("answer").is_not_null())
            asked = rows.collect().cast(PREDICTED)
        asked = asked.filter(pl.Series(self._turn(asked["user"], outcome, since, at, rule.within), dtype=pl.Boolean))
        recent = [earlier for earlier in self.batches(outcome) if at - rule.within < earlier < at]
        asked = asked.join(self.rows(outcome, recent).select("user"), on="user", how="anti")
        if len(asked) > MOST:
            lot = pl.Series(evenly([f"{user}\x00{at}" for user in asked["user"]]))
            asked = asked.filter(lot.rank("ordinal") <= MOST)
        if (traits := latest_traits(self._definition, at, live)) is not None:
            names = {name: f"{TRAIT}{name}" for name in traits.columns if name != "user"}
            asked = asked.join(traits.rename(names), on="user", how="left", maintain_order="left")
        file = self.file(outcome, at)
        new_folder(file.parent)
        with replacing(file) as fresh:
            asked.write_parquet(fresh, compression="zstd")
        return asked

    def _turn(self, users: pl.Series, outcome: str, since: int, at: int, horizon: int) -> NDArray[np.bool_]:
        """Users whose turn comes between two batches: once per horizon."""
        names = users.to_list()
        keys = np.repeat(salt([f"{self._definition.name}\x00monitoring\x00{outcome}"]), len(names))
        phase = (evenly(names, keys) * horizon).astype(np.int64)
        return np.asarray((at - phase) // horizon != (since - phase) // horizon)
