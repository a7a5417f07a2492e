"""Splits: in time, purged, and stable for a user."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import RefusalError
from features.rows import INSTANT
from features.time import DAY, schedule
from training.split import slices, split


@given(st.integers(1, 60), st.integers(1, 14), st.integers(1, 90), st.booleans())
def test_periods_lie_a_purge_apart_or_are_refused(count: int, stride: int, purge: int, spread: bool) -> None:
    cutoffs = schedule(newest=20_000 * DAY, stride=stride * DAY, count=count, spread=spread and stride > 1)
    if cutoffs[-1] - cutoffs[0] < 2 * purge * DAY:
        with pytest.raises(RefusalError, match="matured cutoffs over"):
            split(cutoffs, purge * DAY, outcome="x")
        return
    if cutoffs[-1] - cutoffs[0] < (2 * purge + 4 * stride) * DAY:
        return  # whether it fits depends on where the cutoffs fall
    parts = split(cutoffs, purge * DAY, outcome="x")
    assert parts.fit[-1] + purge * DAY <= parts.adjust[0]
    assert parts.adjust[-1] + purge * DAY <= parts.test[0]
    assert parts.test[-1] == cutoffs[-1], "judged on the newest matured users"
    assert parts.fit.size >= parts.test.size


def test_a_refusal_says_found_needed_and_fix() -> None:
    with pytest.raises(RefusalError) as refusal:
        split(schedule(newest=20_000 * DAY, stride=7 * DAY, count=5, spread=False), 30 * DAY, outcome="churn")
    assert refusal.value.found == "5 matured cutoffs over 28d for churn"
    assert "at least 60d" in refusal.value.needed
    assert "within" in refusal.value.fix


def test_users_keep_their_place() -> None:
    cutoffs = schedule(newest=20_000 * DAY, stride=7 * DAY, count=26, spread=True)
    parts = split(cutoffs, 14 * DAY, outcome="x")
    users = [f"u{i}" for i in range(2_000)]
    rows = pl.DataFrame({"user": users}).join(
        pl.DataFrame({"cutoff": cutoffs}).with_columns(pl.col("cutoff").cast(INSTANT)), how="cross"
    )
    placed = slices(rows, parts, 0.1)
    adjusted = placed.filter(pl.col("slice").is_in(["stop", "calibrate"]))
    assert adjusted.group_by("user").agg(pl.col("slice").n_unique())["slice"].max() == 1
    unseen = placed.unique("user")["unseen"].mean()
    assert 0.07 < float(unseen or 0) < 0.13
    assert set(np.unique(placed.filter(pl.col("slice").is_null())["cutoff"].dt.epoch("us"))).isdisjoint(parts.test)
    again = slices(rows.filter(pl.col("user") == "u7"), parts, 0.1)
    assert again.equals(placed.filter(pl.col("user") == "u7")), "whoever else is there"
