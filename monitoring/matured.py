"""Matured predictions: each with its label, once its horizon and maturity are over."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.definition.schema import Definition
from features.events.log import Log
from features.settings import Settings
from features.system.durable import new_folder, replacing
from features.system.progress import Progress, ignore
from monitoring.hand_offs import HandOffs
from monitoring.labels import labels_of
from monitoring.predictions import PREDICTED, Predictions


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
        self._folder = settings.monitoring(definition.name) / "matured"

    def of(self, log: Log, *, progress: Progress = ignore) -> dict[str, Matured]:
        """All that has matured by the end of a log, by outcome; the log is read once.

        Args:
            log: the log.
            progress: called for each run of users that is done.
        """
        asked = {name: self._ripe(name, rule.reach, log.ends) for name, rule in self._definition.outcomes.items()}
        rows = {name: self._predictions.rows(name, instants) for name, instants in asked.items()}
        labels = labels_of(log, self._definition, rows, self._folder.with_name("labels"), progress=progress)
        return {
            name: self._joined(name, asked[name], rows[name], labels.filter(outcome=name).drop("outcome"))
            for name in asked
        }

    def _ripe(self, outcome: str, reach: int, ends: int) -> list[int]:
        return [at for at in self._predictions.batches(outcome) if at + reach + 1_000_000 <= ends]

    def _joined(self, outcome: str, instants: list[int], rows: pl.DataFrame, labels: pl.DataFrame) -> Matured:
        kept: list[pl.DataFrame] = []
        new, late = [], {}
        joined = rows.join(labels, on=["user", "at"], how="inner", maintain_order="left")
        rule = self._definition.outcomes[outcome]
        for at in instants:
            file = self._file(outcome, at)
            mine = joined.filter(pl.col("at").is_between(at, at + 999_999))  # folders are named to the second
            if file.exists():
                was = pl.read_parquet(file)
                both = was.join(mine.select("user", now="label"), on="user")
                if changed := int((both["label"] != both["now"]).sum()):
                    late[at] = changed
                kept.append(was)
                continue
            mine = self._hand_offs.populations(mine, at, rule.gap + rule.within)
            new_folder(file.parent)
            with replacing(file) as fresh:
                mine.write_parquet(fresh, compression="zstd")
            new.append(at)
            kept.append(mine)
        waiting = [at for at in self._predictions.batches(outcome) if at not in set(instants)]
        return Matured(pl.concat(kept, how="diagonal") if kept else _nothing(), new, late, waiting)

    def forget(self, before: int) -> None:
        """Remove what had matured of before an instant."""
        for file in self._folder.glob("*/*.parquet"):
            if int(file.stem) < before:
                file.unlink()

    def _file(self, outcome: str, at: int) -> Path:
        return self._folder / outcome / f"{at}.parquet"


def _nothing() -> pl.DataFrame:
    more = {"label": pl.Float64(), "tenure_days": pl.Float64(), "population": pl.String(), "weight": pl.Float64()}
    return pl.Schema({**PREDICTED, **more}).to_frame()
