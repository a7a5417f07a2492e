"""Batch scoring: the record of every user, to Parquet."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.errors import ScoringError
from features.log.events import Events
from features.log.frames import part_files
from features.log.log import Log
from features.progress import Progress, ignore
from features.time import to_datetime
from serving.rows import batch_rows, latest_traits
from serving.scorer import Scorer


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch has written.

    Attributes:
        path: the folder of Parquet files.
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
        folder: gets ``scores-<instant>.parquet``, a folder, complete or not at all.
        progress: told of each run of users that is done.

    Raises:
        ScoringError: nobody is visible at the cutoff.
    """
    path = folder / f"scores-{to_datetime(cutoff):%Y-%m-%dT%H%M%SZ}.parquet"
    traits = latest_traits(scorer.definition, cutoff)

    def score(events: Events) -> Iterator[pl.DataFrame]:
        for rows in batch_rows(events, scorer.definition, cutoff, traits):
            if len(rows):
                yield scorer.score(rows, rows.cutoffs).records

    users = log.write(score, scorer.schema, path, progress=progress)
    if not users:
        shutil.rmtree(path)
        raise ScoringError(f"no user is visible at {to_datetime(cutoff).isoformat()}.", fix="score at a later instant")
    records = pl.scan_parquet(part_files(path))
    tier = [pl.col("intent").struct.field(name).struct.field("tier").alias(name) for name in scorer.definition.outcomes]
    states = records.select("state", *tier).unpivot(
        list(scorer.definition.outcomes), index="state", variable_name="outcome", value_name="tier"
    )
    segments = records.select(pl.col("segments").explode().alias("segment")).drop_nulls()
    return BatchResult(
        path=path,
        users=users,
        states=states.group_by("state", "outcome", "tier").agg(pl.len().alias("users")).collect(),
        segments=segments.group_by("segment").agg(pl.len().alias("users")).sort("users", descending=True).collect(),
    )
