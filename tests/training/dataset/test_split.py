"""Splits: in time, purged, and stable for a user."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from features.rows import INSTANT
from features.time import DAY, schedule
from training.dataset.split import slices, split


@given(st.integers(1, 60), st.integers(1, 14), st.integers(1, 90), st.booleans())
def test_periods_lie_a_purge_apart_or_users_are_split(count: int, stride: int, purge: int, spread: bool) -> None:
    cutoffs = schedule(newest=20_000 * DAY, stride=stride * DAY, count=count, spread=spread and stride > 1)
    parts = split(cutoffs, purge * DAY)
    assert parts.test[-1] == cutoffs[-1], "judged on the newest matured users"
    if parts.by == "time":
        assert parts.learn[-1] + purge * DAY <= parts.test[0]
        assert parts.learn.size >= parts.test.size
    else:
        assert cutoffs[-1] - cutoffs[0] < (purge + 2 * stride) * DAY, "no label window fits between two periods"
        assert (parts.learn == cutoffs).all()
        assert (parts.test == cutoffs).all()


def rows_of(cutoffs: np.ndarray) -> pl.DataFrame:
    users = [f"u{i}" for i in range(2_000)]
    instants = pl.DataFrame({"cutoff": cutoffs}).with_columns(pl.col("cutoff").cast(INSTANT))
    return pl.DataFrame({"user": users}).join(instants, how="cross")


def test_split_by_users_no_user_is_on_both_sides() -> None:
    cutoffs = schedule(newest=20_000 * DAY, stride=7 * DAY, count=2, spread=False)
    parts = split(cutoffs, 60 * DAY)
    assert parts.by == "users"
    placed = slices(rows_of(cutoffs), parts, 0.1)
    assert placed.group_by("user").agg(pl.col("slice").n_unique())["slice"].max() == 1
    assert 0.25 < float((placed["slice"] == "test").mean() or 0) < 0.35
    assert placed.filter(slice="test")["unseen"].all()


def test_users_keep_their_place() -> None:
    cutoffs = schedule(newest=20_000 * DAY, stride=7 * DAY, count=26, spread=True)
    parts = split(cutoffs, 14 * DAY)
    rows = rows_of(cutoffs)
    placed = slices(rows, parts, 0.1)
    assert set(placed["slice"].unique()) == {"learn", "between", "test"}
    unseen = placed.unique("user")["unseen"].mean()
    assert 0.07 < float(unseen or 0) < 0.13
    assert set(np.unique(placed.filter(slice="between")["cutoff"].dt.epoch("us"))).isdisjoint(parts.test)
    again = slices(rows.filter(pl.col("user") == "u7"), parts, 0.1)
    assert again.equals(placed.filter(pl.col("user") == "u7")), "no matter who else is there"
