"""Answers of the service kept for monitoring: taken over from the live log's database, a file a day."""

from typing import Final

import polars as pl

from features.definition.schema import Definition
from features.events.compacted import Compacted
from features.settings import Settings
from features.time import DAY, HOUR
from monitoring.predictions.files import PREDICTED, PredictionFiles
from serving.database.live_answers import LiveAnswer, LiveAnswers
from serving.database.log.live_log import LiveLog

#: a day is read when it has been over for so long: by then each process has written its answers
OVER: Final = HOUR


class LivePredictions(PredictionFiles):
    """Predictions of one definition's outcomes, from the service.

    They are drawn as they are made (`serving.runtime.answer_sampler`): a user's rows of an outcome lie at least a
    horizon apart.

    Args:
        definition: the definition.
        settings: where things are kept.
        live: the live log, whose database has what the service answered.
    """

    def __init__(self, definition: Definition, settings: Settings, live: LiveLog) -> None:
        super().__init__(definition, settings.monitoring(definition.name) / "live" / "predictions", DAY)
        self._answers = LiveAnswers(live)

    def keep(self, live: Compacted, ends: int) -> dict[int, int]:
        """Take over the answers of days that are over; killed at any moment, nothing is lost or counted twice.

        Args:
            live: what of the log came by the live path: it may hold attributes.
            ends: the end of the log.

        Returns:
            How many rows were taken, by day.
        """
        taken: dict[int, int] = {}
        for outcome in self.definition.outcomes:
            for day in self._answers.days(outcome):
                if day + DAY + OVER <= ends:
                    found = self._answers.of_day(outcome, day)
                    taken[day] = taken.get(day, 0) + self._take(outcome, day, found, live)
                    self._answers.remove(outcome, day, [one.user for one in found])
        return taken

    def _take(self, outcome: str, day: int, found: list[LiveAnswer], live: Compacted) -> int:
        """Add answers to those of a day: some of it may have been written later than the day was read."""
        fresh = pl.DataFrame([_row(one) for one in found], schema=PREDICTED, orient="row")
        before = self.rows(outcome, [day] if self.file(outcome, day).exists() else []).select(PREDICTED.names())
        fresh = self.without_recent(fresh, outcome, day).join(before, on="user", how="anti", maintain_order="left")
        self.write(pl.concat([before, fresh]), outcome, day, live)
        return len(fresh)


def _row(one: LiveAnswer) -> tuple[str, int, str, float, str | None, str | None]:
    return one.user, one.at, one.version, one.answer, one.tier, one.state
