"""Labels of any users at any instants, read from the log in one pass."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from features.definition.schema import Definition
from features.events.events import Events
from features.events.log import Log
from features.system.progress import Progress, ignore
from features.time import DAY
from monitoring.collected import collected
from training.dataset.outcomes import label

#: what is read of the log for each row
LABELS = pl.Schema(
    {"outcome": pl.String(), "user": pl.String(), "at": pl.Int64(), "label": pl.Float64(), "tenure_days": pl.Float64()}
)


def labels_of(
    log: Log, definition: Definition, rows: Mapping[str, pl.DataFrame], folder: Path, *, progress: Progress = ignore
) -> pl.DataFrame:
    """Label rows.

    Args:
        log: the log.
        definition: its outcomes.
        rows: of each outcome ``user`` and ``at``, which is early enough that its label is known.
        folder: labels are written beside it meanwhile.
        progress: called for each run of users that is done.

    Returns:
        `LABELS`; rows of users who are not in the log any more are left out.
    """
    asked = {name: frame.select("user", "at").unique() for name, frame in rows.items() if len(frame)}
    if not asked:
        return LABELS.to_frame()

    def read(events: Events) -> Iterator[pl.DataFrame]:
        here = events.users if events.spans is None else events.spans.ids.unique()
        for name, frame in asked.items():
            mine = frame.filter(pl.col("user").is_in(here.implode()))
            if len(mine):
                yield _labelled(events, mine, definition, name)

    with collected(log, read, LABELS, folder, progress=progress) as found:
        return found.collect()


def _labelled(events: Events, rows: pl.DataFrame, definition: Definition, outcome: str) -> pl.DataFrame:
    """Labels of some users' rows, and the days since each user's first event."""
    cutoff = rows["at"].cast(pl.Datetime("us", "UTC"))
    asked = rows.select("user").with_columns(cutoff.alias("cutoff"))
    place = events.place_of(rows["user"], rows["at"].to_numpy())
    known = place >= 0
    first = np.where(known, events.t[events.starts[:-1][place]], 0)
    tenure = pl.Series("tenure_days", np.where(known, (rows["at"].to_numpy() - first) / DAY, np.nan), nan_to_null=True)
    found = label(events, asked, definition, outcome).cast(pl.Float64)
    return rows.select(pl.lit(outcome).alias("outcome"), "user", "at").with_columns(
        found.alias("label"), tenure.alias("tenure_days")
    )  # fmt: skip
