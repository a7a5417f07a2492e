"""Uplift of today's users: predicted by what was learnt from an experiment, each with a tier."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.events.events import Events
from features.events.log import Log
from features.profile.fold import feature_rows, read_all_at
from features.system.progress import Progress, ignore
from monitoring.collected import collected
from monitoring.uplift.learners import LEARNERS
from monitoring.uplift.learnt import Arms, Uplift
from monitoring.uplift.tiers import tiers_of

#: of each user of the log: what acting is predicted to do, positive where it does what is wanted, and the tier
UPLIFT = pl.Schema({"user": pl.String(), "uplift": pl.Float64(), "without": pl.Float64(), "tier": pl.String()})


def uplift_of_users(
    found: Uplift, arms: Arms, log: Log, definition: Definition, folder: Path, *, progress: Progress = ignore
) -> pl.DataFrame:
    """Predict the uplift of all users at the end of a log.

    Args:
        found: what was learnt; its tiers are offered.
        arms: what it was learnt from; the model is fitted on all of them.
        log: the log.
        definition: its features.
        folder: rows are written beside it meanwhile.
        progress: called for each run of users that is done.

    Returns:
        `UPLIFT`.
    """
    predict = LEARNERS[found.learner](arms.X, arms.treated, arms.y)
    numeric = feature_set(definition).numeric

    def read(events: Events) -> Iterator[pl.DataFrame]:
        for rows in feature_rows(events, read_all_at(events, np.array([log.ends])), definition):
            low, high = predict(rows.select(numeric).to_numpy().astype(np.float64))
            tiers = pl.Series("tier", tiers_of(high - low, found.groups), dtype=pl.String)
            yield (
                rows.select("user")
                .with_columns(pl.Series("uplift", high - low), pl.Series("without", low))
                .with_columns(tiers)
            )

    with collected(log, read, UPLIFT, folder, progress=progress) as rows:
        return rows.collect()
