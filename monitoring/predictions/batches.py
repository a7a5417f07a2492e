"""Predictions kept for monitoring: one row per user and horizon of each outcome, drawn from the batches."""

from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome, ValueOutcome
from features.events.compacted import Compacted
from features.events.draws import evenly, salt
from features.settings import Settings
from features.time import DAY, SECOND, to_instant
from monitoring.predictions.files import PREDICTED, PredictionFiles
from serving.scoring.earlier.batch import Earlier, answered_in, field_of

#: how long they are kept: a year, and a quarter to compare it with
KEPT: Final = timedelta(days=460)

#: rows that are kept of one batch and outcome; of more, a share is drawn
MOST: Final = 20_000

#: the first batch draws as if another had run so long before
BEFORE_THE_FIRST: Final = 7 * DAY


class Predictions(PredictionFiles):
    """Predictions of one definition's outcomes, from batches.

    A user's rows of an outcome lie at least a horizon apart, so that no event answers two of them; who is drawn when
    is a hash of the user, so that each batch of a horizon draws others. At most `MOST` are kept of a batch.

    Args:
        definition: the definition.
        settings: where things are kept.
    """

    def __init__(self, definition: Definition, settings: Settings) -> None:
        # batches are named to the second
        super().__init__(definition, settings.monitoring(definition.name) / "predictions", SECOND)
        self._scores = settings.scores(definition.name)

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
            for outcome, rule in self.definition.outcomes.items():
                if not self.file(outcome, at).exists():
                    rows = self._drawn(batch, outcome, rule, last)
                    if rows is not None:
                        self.write(rows, outcome, at, live)
                        drawn[at] = drawn.get(at, 0) + len(rows)
        return drawn

    def scored(self) -> int:
        """How many users the newest batch has scored."""
        newest = Earlier.newest(self._scores)
        if newest is None:
            return 0
        with newest.reading() as records:
            return int(records.select(pl.len()).collect().item())

    def _drawn(self, batch: Earlier, outcome: str, rule: Outcome | ValueOutcome, since: int) -> pl.DataFrame | None:
        """Draw from a batch; None where the batch knows nothing of the outcome."""
        at = to_instant(batch.as_of)
        with batch.reading() as records:
            if outcome not in answered_in(self.definition, records):
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
        asked = self.without_recent(asked, outcome, at)
        if len(asked) > MOST:
            lot = pl.Series(evenly([f"{user}\x00{at}" for user in asked["user"]]))
            asked = asked.filter(lot.rank("ordinal") <= MOST)
        return asked

    def _turn(self, users: pl.Series, outcome: str, since: int, at: int, horizon: int) -> NDArray[np.bool_]:
        """Users whose turn comes between two batches: once per horizon."""
        names = users.to_list()
        keys = np.repeat(salt([f"{self.definition.name}\x00monitoring\x00{outcome}"]), len(names))
        phase = (evenly(names, keys) * horizon).astype(np.int64)
        return np.asarray((at - phase) // horizon != (since - phase) // horizon)
