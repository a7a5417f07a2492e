"""Batch scoring: the record of every user, to Parquet."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import ScoringError
from features.log.events import Events, Log
from features.progress import Progress, ignore
from features.time import to_datetime
from serving.rows import batch_rows, latest_traits
from serving.scorer import Scorer


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch has written.

    Attributes:
        path: the file.
        users: how many records.
        states: ``state, outcome, tier, users``: how states and tiers go together.
        segments: ``segment, users``.
    """

    path: Path
    users: int
    states: pl.DataFrame
    segments: pl.DataFrame


def score_all(log: Log, scorer: Scorer, cutoff: int, folder: Path, *, progress: Progress = ignore) -> BatchResult:
    """Score every user visible at a cutoff.

    Args:
        log: the log.
        scorer: the definition's rules and champions.
        cutoff: the instant the scores speak of.
        folder: gets ``scores-<instant>.parquet``, complete or not at all.
        progress: told of each run of users that is done.

    Raises:
        ScoringError: nobody is visible at the cutoff.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"scores-{to_datetime(cutoff):%Y-%m-%dT%H%M%SZ}.parquet"
    fresh = path.with_suffix(".new")
    writer: pq.ParquetWriter | None = None
    counts: list[pl.DataFrame] = []
    users = 0
    outcomes = list(scorer.definition.outcomes)
    traits = latest_traits(scorer.definition, cutoff)
    shown = ["state", "segments", *(f"{name}_tier" for name in outcomes)]

    def score(events: Events) -> list[tuple[pa.Table, pl.DataFrame]]:
        runs = (rows for rows in batch_rows(events, scorer.definition, cutoff, traits) if len(rows))
        answers = (scorer.score(rows, rows.cutoffs) for rows in runs)
        return [(scored.records.to_arrow(), scored.frame.select(shown)) for scored in answers]

    try:
        for run in log.map(score):
            for table, frame in run:
                writer = writer or pq.ParquetWriter(fresh, table.schema)
                writer.write_table(table)
                counts.append(frame)
                users += len(frame)
            progress(1)
    finally:
        if writer is not None:
            writer.close()
    if not counts:
        raise ScoringError(f"no user is visible at {to_datetime(cutoff).isoformat()}.", fix="score at a later instant")
    fresh.replace(path)
    every = pl.concat(counts)
    tiers = every.unpivot([f"{n}_tier" for n in outcomes], index="state", variable_name="outcome", value_name="tier")
    states = tiers.group_by("state", "outcome", "tier").agg(pl.len().alias("users"))
    segments = every.select(pl.col("segments").explode().alias("segment")).drop_nulls()
    return BatchResult(
        path=path,
        users=users,
        states=states.with_columns(pl.col("outcome").str.strip_suffix("_tier")),
        segments=segments.group_by("segment").agg(pl.len().alias("users")).sort("users", descending=True),
    )
