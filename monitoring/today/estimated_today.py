"""How the answers are expected to do on the newest predictions' users, from labels of users like them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.events.draws import evenly, salt
from features.events.log import Log
from monitoring.collected import features_at
from monitoring.statistics.inputs import Floats
from monitoring.statistics.probabilities.shifted import Shifted, density_ratio, shifted
from segments.tiers import TIERS
from training.evaluation.leakage import follows_time
from training.fitting.trees import quick

#: labelled users, the newest, and users of today that are compared; more of them tell no more
ROWS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Compared:
    """What is compared of an outcome.

    Attributes:
        labelled: the newest matured predictions of untreated users: ``user, at, answer, label, weight``.
        newest: predictions whose labels are not known, of the same version: ``user, at, answer, tier``.
    """

    labelled: pl.DataFrame
    newest: pl.DataFrame

    @classmethod
    def of(cls, matured: pl.DataFrame, newest: pl.DataFrame) -> "Compared | None":
        """Choose the rows; None where the version of the newest predictions has no labels yet."""
        if newest.is_empty():
            return None
        mine = matured.filter((pl.col("weight") > 0) & (pl.col("version") == newest["version"][0]))
        if mine.is_empty():
            return None
        return cls(mine.sort("at", "user").tail(ROWS), _some(newest))


def estimated_today(
    log: Log, definition: Definition, asked: Mapping[str, Compared], folder: Path
) -> dict[str, Shifted]:
    """Estimate how each outcome's answers do on the users of its newest predictions; the log is read once.

    Args:
        log: the log.
        definition: its features.
        asked: of each outcome that is yes or no, what is compared.
        folder: rows are written beside it meanwhile.
    """
    pairs = [part.select("user", "at") for one in asked.values() for part in (one.labelled, one.newest)]
    if not pairs:
        return {}
    rows = features_at(log, definition, pl.concat(pairs).unique(), folder)
    columns = [name for name in feature_set(definition).numeric if not follows_time(name)]
    return {name: _estimated(one, rows, columns) for name, one in asked.items()}


def _estimated(one: Compared, rows: pl.DataFrame, columns: list[str]) -> Shifted:
    labelled, newest = (
        part.join(rows, on=["user", "at"], maintain_order="left") for part in (one.labelled, one.newest)
    )
    weights = labelled["weight"].to_numpy() * _ratio(labelled, newest, columns)
    tier = newest.filter(pl.col("tier") == TIERS[0])["answer"]
    cut = float(tier.min()) if len(tier) else 1.0  # type: ignore[arg-type]
    answer, label = labelled["answer"].to_numpy(), labelled["label"].to_numpy()
    return shifted(answer, label, weights, newest["answer"].to_numpy(), cut=cut)


def _ratio(labelled: pl.DataFrame, newest: pl.DataFrame, columns: list[str]) -> Floats:
    """How much more frequent users like each labelled one are today, by a classifier that has not seen the user."""
    users = pl.concat([labelled["user"], newest["user"]])
    x = np.concatenate([part.select(columns).to_numpy() for part in (labelled, newest)]).astype(np.float64)
    y = np.concatenate([np.zeros(len(labelled)), np.ones(len(newest))])
    half, today = evenly(users.to_list()) < 0.5, np.full(len(y), 0.5)
    for side in (half, ~half):
        if side.any() and 0 < y[~side].sum() < (~side).sum():
            today[side] = quick(x[~side], y[~side], x[side], seed=0)
    return density_ratio(today[: len(labelled)], len(newest)) if len(newest) else np.zeros(len(labelled))


def _some(rows: pl.DataFrame) -> pl.DataFrame:
    """So many of the rows, the same users each time."""
    names = rows["user"].to_list()
    order = np.argsort(evenly(names, np.repeat(salt(["estimated today"]), len(names))))
    return rows.select(pl.all().gather(pl.Series(order[:ROWS])))
