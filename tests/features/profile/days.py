"""Logs of a few days."""

from datetime import timedelta
from pathlib import Path

import polars as pl

from features.profile.stored import Profiles
from features.time import to_instant
from tests.features.event_store.logs import NOON, put, random_rows

START = to_instant(NOON)


def days_of(folder: Path, *, users: int = 200) -> None:
    """Nine days of events, and a tenth of a few users."""
    rows = random_rows(3_000, users=users)
    put(folder, "a", rows.filter(pl.col("event_time") < NOON + timedelta(days=9)))
    late = random_rows(40, users=5, seed=2, start=NOON + timedelta(days=9)).with_columns(
        arrived_at=pl.col("event_time")
    )
    put(folder, "b", late.filter(pl.col("event_time") < NOON + timedelta(days=10)).head(5))


def kept_rows(profiles: Profiles) -> pl.DataFrame:
    """The rows of all users who have a profile."""
    assert profiles.manifest is not None
    rows = [pl.DataFrame(profiles.layers(bucket).rows()) for bucket in profiles.manifest.files]
    return pl.concat(rows).drop_nulls("profile")
