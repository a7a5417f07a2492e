"""Matured predictions: each with its label, once its horizon and maturity are over."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from features.definition.schema import Definition
from features.events.log import Log
from features.settings import Settings
from features.system.durable import new_folder, replacing
from features.system.progress import Progress, ignore
from features.time import DAY
from monitoring.labels import labels_of
from monitoring.predictions import PREDICTED, Predictions
from serving.activation.hand_offs import HandOffs

#: batches are named to the second
SECOND: Final = 1_000_000

#: beside the monitor's tables, a folder an outcome
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
    """The predictions of an outcome from one instant on that had matured by another one, as the monitor has kept them.

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
        settings: where things are kept.
        predictions: the predictions.
        hand_offs: who was treated.
    """

    def __init__(
        self, definition: Definition, settings: Settings, predictions: Predictions, hand_offs: HandOffs
    ) -> None:
        self._definition, self._predictions, self._hand_offs = definition, predictions, hand_offs
        self._folder = settings.monitoring(definition.name) / FOLDER

    def of(self, log: Log, *, progress: Progress = ignore) -> dict[str, Matured]:
        """All that has matured by the end of a log, by outcome; the log and the transitions are read once.

        Labels that were read more than `LATE` ago are not compared with the log again.

        Args:
            log: the log.
            progress: called for each run of users that is done.
        """
        outcomes = self._definition.outcomes
        ripe = {name: self._ripe(name, rule.reach, log.ends) for name, rule in outcomes.items()}
        new = {name: [at for at in some if not self._file(name, at).exists()] for name, some in ripe.items()}
        asked = {
            name: self._predictions.rows(
                name, [at for at in ripe[name] if at in set(new[name]) or at + rule.reach + LATE > log.ends]
            )
            for name, rule in outcomes.items()
        }
        labels = labels_of(log, self._definition, asked, self._folder.with_name("labels"), progress=progress)
        moves = self._hand_offs.moves(min((at for some in new.values() for at in some), default=log.ends))
        found = {}
        for name, rows in asked.items():
            mine = labels.filter(outcome=name).drop("outcome")
            labelled = rows.join(mine, on=["user", "at"], maintain_order="left")
            self._label(name, new[name], labelled, moves)
            found[name] = self._matured(name, ripe[name], new[name], labelled)
        return found

    def _ripe(self, outcome: str, reach: int, ends: int) -> list[int]:
        return [at for at in self._predictions.batches(outcome) if at + reach + SECOND <= ends]

    def _label(self, outcome: str, new: list[int], labelled: pl.DataFrame, moves: pl.DataFrame) -> None:
        """Keep the labels of batches that have matured since the last time, with who was treated."""
        rule = self._definition.outcomes[outcome]
        for at in new:
            mine = self._hand_offs.populations(_of_batch(labelled, at), moves, rule.gap + rule.within)
            file = self._file(outcome, at)
            new_folder(file.parent)
            with replacing(file) as fresh:
                mine.write_parquet(fresh, compression="zstd")

    def _matured(self, outcome: str, ripe: list[int], new: list[int], labelled: pl.DataFrame) -> Matured:
        """All that is kept, and of which batches labels would be different today."""
        kept, late = [], {}
        for at in ripe:
            kept.append(pl.read_parquet(self._file(outcome, at)))
            both = kept[-1].join(_of_batch(labelled, at).select("user", now="label"), on="user")
            if changed := int((both["label"] != both["now"]).sum()):
                late[at] = changed
        waiting = [at for at in self._predictions.batches(outcome) if at not in set(ripe)]
        return Matured(pl.concat(kept, how="diagonal") if kept else _nothing(), new, late, waiting)

    def forget(self, before: int) -> None:
        """Remove what had matured of before an instant."""
        for file in self._folder.glob("*/*.parquet"):
            if int(file.stem) < before:
                file.unlink()

    def _file(self, outcome: str, at: int) -> Path:
        return self._folder / outcome / f"{at}.parquet"


def _of_batch(rows: pl.DataFrame, at: int) -> pl.DataFrame:
    return rows.filter(pl.col("at").is_between(at, at + SECOND - 1))


def _nothing() -> pl.DataFrame:
    more = {"label": pl.Float64(), "tenure_days": pl.Float64(), "population": pl.String(), "weight": pl.Float64()}
    return pl.Schema({**PREDICTED, **more}).to_frame()
