"""Covariate shift: how well a classifier tells today's users from those that a model was fitted on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.events.draws import evenly, salt
from features.events.events import Events
from features.events.log import Log
from features.expressions.program import holds
from features.profile.fold import feature_rows, read_all_at
from features.snapshot import WEIGHT
from features.time import DAY, Instants, to_datetime
from monitoring.collected import collected, schema_of
from monitoring.today.attributions import Attribution, Attributions
from monitoring.today.separation import separation
from serving.model.model import Model
from training.evaluation.leakage import follows_time, stability

#: rows of each instant that are compared; more of them tell no more
ROWS: Final = 6_000

#: users of whom rows are read, of whom those of a population are a part
READ: Final = 40_000

#: users have changed when the AUC is at least the first, and above the usual one by the second
LEAST_AUC, BETTER = 0.60, 0.05

#: columns that moved more than this before the model was fitted are not looked at (population stability index)
STILL: Final = 0.1

NO_MODELS: Mapping[str, Model] = {}

#: a week: instants nearer to each other are not compared
NEAR: Final = 7 * DAY


@dataclass(frozen=True, slots=True)
class CovariateShift:
    """How far the users of an outcome are from those that its model was fitted on.

    Attributes:
        auc: of the classifier that tells the two apart best beyond what is usual for it (`separation`), on users it has
            not seen; 0.5 means no difference.
        usual: the same for an equally long time before; None where the log does not go back so far.
        columns: the columns that moved most, with their population stability index.
        rows: how many rows each side has.
        attributions: the columns that the model's answers rest on more, or less, than is usual for them to change.
    """

    auc: float
    usual: float | None
    columns: dict[str, float]
    rows: int
    attributions: dict[str, Attribution] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether that is more than what is usual."""
        return self.auc >= LEAST_AUC and self.auc - (self.usual if self.usual is not None else 0.5) >= BETTER


def shifts(
    log: Log,
    definition: Definition,
    fitted: Mapping[str, int],
    folder: Path,
    *,
    users: int,
    models: Mapping[str, Model] = NO_MODELS,
) -> dict[str, CovariateShift]:
    """Compare today's users with those that each model was fitted on; the log is read once.

    Args:
        log: the log; its end is today.
        definition: outcomes and features.
        fitted: of each outcome the newest cutoff that its model was fitted on.
        folder: rows are written beside it meanwhile.
        users: about how many there are; of more than are compared a share is read.
        models: of each outcome the champion, whose attributions are compared.

    Returns:
        Of each outcome whose model is old enough to compare.
    """
    asked = {name: _instants(at, log) for name, at in fitted.items() if log.ends - at >= NEAR}
    cutoffs = np.array(sorted({at for some in asked.values() for at in some}), dtype=np.int64)
    if not cutoffs.size:
        return {}
    attributions = Attributions(definition, models, log.live)
    rows = _rows(log, definition, cutoffs, folder, share=min(1.0, READ / max(users, 1)))
    found = {}
    for name, instants in asked.items():
        mine = rows.filter(holds(definition.outcomes[name].among, rows))
        parts = [_some(mine.filter(pl.col("cutoff") == to_datetime(at)), name) for at in instants]
        if min(len(parts[0]), len(parts[1])) >= 2:
            some = [part for part in parts if len(part) >= 2]
            found[name] = replace(_shift(parts, definition), attributions=attributions.moved(name, some))
    return found


def _instants(fitted: int, log: Log) -> list[int]:
    """Today, the day the model was fitted, and as long before and before that, where the log has it, in whole weeks."""
    weeks = (log.ends - fitted) // NEAR * NEAR
    before = [fitted - weeks, fitted - 2 * weeks]
    return [fitted + weeks, fitted, *(at for at in before if at > log.first + NEAR)]


def _rows(log: Log, definition: Definition, cutoffs: Instants, folder: Path, *, share: float) -> pl.DataFrame:
    """Feature rows of a share of the users at some cutoffs."""

    def read(events: Events) -> Iterator[pl.DataFrame]:
        drawn = events
        if share < 1:
            drawn = events.take(np.flatnonzero(evenly(events.users.to_list()) < share))
        if len(drawn.users):
            yield from feature_rows(drawn, read_all_at(drawn, cutoffs), definition)

    with collected(log, read, schema_of(definition), folder) as rows:
        return rows.collect()


def _some(rows: pl.DataFrame, outcome: str) -> pl.DataFrame:
    """So many of the rows, the same users each time."""
    names = rows["user"].to_list()
    keys = np.repeat(salt([f"people\x00{outcome}"]), len(names))
    chosen = pl.Series(np.argsort(evenly(names, keys))[:ROWS])
    return rows.select(pl.all().gather(chosen)).with_columns(pl.lit(1.0).alias(WEIGHT))


def _shift(parts: list[pl.DataFrame], definition: Definition) -> CovariateShift:
    columns = [name for name in feature_set(definition).numeric if not follows_time(name)]
    now, then = parts[0], parts[1]
    usual: dict[str, float] | None = None
    if len(parts) >= 3 and len(parts[2]) >= 2:
        # columns that moved before the model was fitted, too, such as those that grow with the age of the log
        before = stability(parts[2], then, columns)
        columns = [name for name in columns if before[name] < STILL] or columns
        usual = separation(then, parts[2], columns)
    moved, found = stability(then, now, columns), separation(now, then, columns)
    best = max(found, key=lambda name: found[name] - (usual[name] if usual is not None else 0.5))
    most, rows = dict(list(moved.items())[:3]), min(len(now), len(then))
    return CovariateShift(found[best], usual[best] if usual is not None else None, most, rows)
