"""Uplift of today's users: predicted by the code that serves, each with a tier."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from features.definition.schema import Definition
from features.events.events import Events
from features.events.log import Log
from features.profile.fold import feature_rows, read_all_at
from features.system.progress import Progress, ignore
from monitoring.collected import collected
from segments.tiers import SILENT
from serving.model.uplift import UpliftModel

#: of each user of the log: what acting is predicted to do, positive where it does what is wanted, and the tier
UPLIFT = pl.Schema({"user": pl.String(), "uplift": pl.Float64(), "without": pl.Float64(), "tier": pl.String()})


def uplift_of_users(
    model: UpliftModel, log: Log, definition: Definition, folder: Path, *, progress: Progress = ignore
) -> pl.DataFrame:
    """Predict the uplift of all users at the end of a log.

    Args:
        model: whose tiers are offered.
        log: the log.
        definition: its features.
        folder: rows are written beside it meanwhile.
        progress: called for each run of users that is done.

    Returns:
        `UPLIFT`; of who is unlike the users of the experiment the tier says that there is not enough to say.
    """
    tiers = np.array([group.tier for group in model.card.groups])

    def read(events: Events) -> Iterator[pl.DataFrame]:
        for rows in feature_rows(events, read_all_at(events, np.array([log.ends])), definition):
            matrix = model.matrix(rows)
            low, high = model.responses.predict(matrix)
            found = tiers[model.group_of(high - low)].astype(object)
            found[model.outside(matrix, definition.scoring.max_beyond)] = SILENT
            yield rows.select("user").with_columns(
                pl.Series("uplift", high - low), pl.Series("without", low), pl.Series("tier", found, pl.String)
            )

    with collected(log, read, UPLIFT, folder, progress=progress) as rows:
        return rows.collect()
