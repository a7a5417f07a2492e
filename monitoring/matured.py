"""Matured predictions: each with its label, once its horizon and maturity are over."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome, ValueOutcome
from features.events.log import Log
from features.settings import Settings
from features.system.files.durable import new_folder, replacing
from features.system.progress import Progress, ignore
from features.time import DAY, SECOND
from monitoring.labels import labels_of
from monitoring.predictions.files import PREDICTED, PredictionFiles
from serving.activation.hand_offs import HandOffs

#: beside the predictions, a folder an outcome
FOLDER: Final = "matured"

#: so long after a label was known it is compared with the log again
LATE: Final = 30 * DAY


@dataclass(frozen=True, slots=True)
class Matured:
    """The matured predictions of an outcome.

    Attributes:
        rows: `PREDICTED`, the traits of then, ``label``, ``tenure_days``, ``population`` and ``weight``.
        new: the instants that have matured since the last time.
        late: of batches that had matured before, how many labels would be different today, by instant, because events
            arrived later than the outcome's ``matures_after``. Labels that were read out stay as they were.
        waiting: instants whose labels are not known yet.
    """

    rows: pl.DataFrame
    new: list[int]
    late: dict[int, int]
    waiting: list[int]


def kept(definition: Definition, settings: Settings, outcome: str, since: int, as_of: int) -> pl.DataFrame:
    """Predictions of batches from one instant on that had matured by another one, as the monitor has kept them.

    Args:
        definition: the definition.
        settings: where things are kept.
        outcome: which.
        since: of the oldest batch.
        as_of: the instant by which their labels were known.

    Returns:
        As `Matured.rows`.
    """
    folder, reach = settings.monitoring(definition.name) / FOLDER / outcome, definition.outcomes[outcome].reach
    files = sorted(folder.glob("*.parquet"), key=lambda file: int(file.stem))
    parts = [pl.read_parquet(file) for file in files if since <= int(file.stem) <= as_of - reach - SECOND]
    return pl.concat(parts, how="diagonal") if parts else _nothing()


class Labelled:
    """Joins predictions with their labels, and keeps both.

    Args:
        definition: the definition.
        sources: predictions, by where they come from.
        hand_offs: who was treated.
    """

    def __init__(self, definition: Definition, sources: Mapping[str, PredictionFiles], hand_offs: HandOffs) -> None:
        self._definition, self._sources, self._hand_offs = definition, sources, hand_offs

    def of(self, log: Log, folder: Path, *, progress: Progress = ignore) -> dict[str, dict[str, Matured]]:
        """All that has matured by the end of a log, by source and outcome; log and transitions are read once.

        Labels that were read more than `LATE` ago are not compared with the log again.

        Args:
            log: the log.
            folder: labels are written beside it meanwhile.
            progress: called for each run of users that is done.
        """
        parts = [
            _Part(files, name, rule, log.ends)
            for files in self._sources.values()
            for name, rule in self._definition.outcomes.items()
        ]
        asked = {name: pl.concat(part.asked.select("user", "at") for part in parts if part.outcome == name)
                 for name in self._definition.outcomes}  # fmt: skip
        labels = labels_of(log, self._definition, asked, folder, progress=progress)
        moves = self._hand_offs.moves(min((at for part in parts for at in part.new), default=log.ends))
        found: dict[str, dict[str, Matured]] = {}
        for source, files in self._sources.items():
            mine = [part for part in parts if part.files is files]
            found[source] = {part.outcome: part.matured(labels, moves, self._hand_offs) for part in mine}
        return found

    def forget(self, before: int) -> None:
        """Remove what had matured of before an instant."""
        for files in self._sources.values():
            for file in folder_of(files).glob("*/*.parquet"):
                if int(file.stem) < before:
                    file.unlink()


def folder_of(files: PredictionFiles) -> Path:
    """Where the matured predictions of a source are kept: beside its predictions."""
    return files.folder.with_name(FOLDER)


class _Part:
    """The predictions of one source and outcome.

    Args:
        files: the predictions.
        outcome: which outcome.
        rule: the outcome.
        ends: the end of the log.
    """

    def __init__(self, files: PredictionFiles, outcome: str, rule: Outcome | ValueOutcome, ends: int) -> None:
        self.files, self.outcome, self._rule = files, outcome, rule
        self._there = files.batches(outcome)
        self._ripe = [at for at in self._there if at + rule.reach + files.span <= ends]
        self.new = [at for at in self._ripe if not self._file(at).exists()]
        #: what is to be labelled, and compared with the log again
        self.asked = files.rows(outcome, [at for at in self._ripe if at in self.new or at + rule.reach + LATE > ends])

    def matured(self, labels: pl.DataFrame, moves: pl.DataFrame, hand_offs: HandOffs) -> Matured:
        """Keep the labels of what has matured since the last time, with who was treated; return all that is kept."""
        mine = labels.filter(outcome=self.outcome).drop("outcome")
        labelled = self.asked.join(mine, on=["user", "at"], maintain_order="left")
        for at in self.new:
            rows = hand_offs.populations(self._of_batch(labelled, at), moves, self._rule.gap + self._rule.within)
            file = self._file(at)
            new_folder(file.parent)
            with replacing(file) as fresh:
                rows.write_parquet(fresh, compression="zstd")
        kept, late = [], {}
        for at in self._ripe:
            kept.append(pl.read_parquet(self._file(at)))
            both = kept[-1].join(self._of_batch(labelled, at).select("user", now="label"), on="user")
            if changed := int((both["label"] != both["now"]).sum()):
                late[at] = changed
        waiting = [at for at in self._there if at not in set(self._ripe)]
        return Matured(pl.concat(kept, how="diagonal") if kept else _nothing(), self.new, late, waiting)

    def _of_batch(self, rows: pl.DataFrame, at: int) -> pl.DataFrame:
        return rows.filter(pl.col("at").is_between(at, at + self.files.span - 1))

    def _file(self, at: int) -> Path:
        return folder_of(self.files) / self.outcome / f"{at}.parquet"


def _nothing() -> pl.DataFrame:
    more = {"label": pl.Float64(), "tenure_days": pl.Float64(), "population": pl.String(), "weight": pl.Float64()}
    return pl.Schema({**PREDICTED, **more}).to_frame()
