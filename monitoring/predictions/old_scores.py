"""Old scores: folders of batches that nobody needs any more, removed whole."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from features.definition.schema import Definition
from features.settings import Settings
from features.system.files.durable import remove_folder
from features.time import DAY, to_instant
from monitoring.predictions.batches import KEPT, Predictions
from serving.scoring.earlier.batch import Earlier, answered_in

#: the newest batches are kept however old they are: the second one says what has changed since
NEWEST = 2

#: what a folder is called once it is no longer scores; the next run, or an erasure, removes what a killed one left
ENDING = ".old"


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became of old batches.

    Attributes:
        removed: the folders removed, the oldest first.
        needed: the folders that are old enough and stay, because the monitor has yet to draw from them, or their
            outcomes have not matured.
        kept: how many batches there are now.
    """

    removed: list[Path]
    needed: list[Path]
    kept: int


class OldScores:
    """The folders of scores of one definition.

    Args:
        definition: the definition.
        settings: where they are, and for how many days they are kept.
    """

    def __init__(self, definition: Definition, settings: Settings) -> None:
        self._definition, self._days = definition, settings.scores_days
        self._folder, self._predictions = settings.scores(definition.name), Predictions(definition, settings)

    def prune(self) -> Pruned:
        """Remove batches that are older than the newest by more than the setting, and that nobody needs.

        A folder is renamed first: killed at any moment, each is there whole, or is no longer scores. Who prunes holds
        the folders of scores and of the monitor.

        Raises:
            StoreError: scores cannot be read.
        """
        self._remove_rests()
        batches = Earlier.every(self._folder)
        old = list(self._old(batches))
        needed = [batch.path for batch in old if self._is_needed(batch, batches[-1])]
        removed = [batch.path for batch in old if batch.path not in needed]
        for path in removed:
            remove_folder(path)
        return Pruned(removed, needed, len(batches) - len(removed))

    def _old(self, batches: list[Earlier]) -> Iterator[Earlier]:
        for batch in batches[:-NEWEST] if self._days else []:
            if to_instant(batches[-1].as_of) - to_instant(batch.as_of) > self._days * DAY:
                yield batch

    def _is_needed(self, batch: Earlier, newest: Earlier) -> bool:
        """Whether an outcome of a batch is still to be drawn from for monitoring, or to mature."""
        age = to_instant(newest.as_of) - to_instant(batch.as_of)
        if age > KEPT.total_seconds() * 1e6:
            return False  # the monitor passes it over
        at = to_instant(batch.as_of)
        with batch.reading() as records:
            answered = answered_in(self._definition, records)
        return any(rule.reach > age or not self._predictions.file(name, at).exists() for name, rule in answered.items())

    def _remove_rests(self) -> None:
        for rest in self._folder.glob(f"scores-*Z.parquet{ENDING}"):
            shutil.rmtree(rest)
