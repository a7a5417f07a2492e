"""Logs of repeats and corrections, and what the stores hold that two engines keep of them."""

import os
from pathlib import Path

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from features.definition import Definition
from features.event_store.store import EventStore
from features.event_store.stored_events import StoredEvents
from features.settings import Settings
from tests.features.event_store.logs import definition_in, put, random_rows


def repeated(folder: Path) -> Definition:
    """Rows that come twice, corrected ones, ids of several users, rows without an id, and events that value counts."""
    rows = random_rows(3_000, users=70)
    rng = np.random.default_rng(3)
    again = rows.sample(300, seed=4)
    corrected = again.head(100).with_columns(
        revenue=pl.col("revenue") + 1, arrived_at=pl.col("arrived_at") + pl.duration(hours=3)
    )
    others = again.tail(60).with_columns(user_id=pl.lit("u001"))
    nameless = rows.sample(50, seed=5).with_columns(event_id=pl.lit(None, pl.String))
    every = pl.concat([rows, again, corrected, others, nameless])
    put(folder, "a", every[rng.permutation(len(every))])
    return definition_in(folder)


def rows_of(store: StoredEvents) -> pl.DataFrame:
    """All rows of a store, in one order."""
    found = []
    for bucket in store.buckets:
        users = store.bucket(bucket, ends=2**62).users.to_list()
        assert users == sorted(users)
        rows = store.rows_of(bucket, users, through=store.manifest.position).sorted()
        found.append(pl.DataFrame(rows.table()).drop("file").cast({"user": pl.String}))
    rows = pl.concat(found)
    return rows.sort(rows.columns)


def at(settings: Settings, home: Path) -> Settings:
    return settings.model_copy(update={"home": home / "var"})


def settle(folder: Path, seconds: int = 1_700_000_000) -> None:
    """Let the log's files be older than a tick of any clock."""
    for file in (folder / "log").glob("*"):
        os.utime(file, (seconds, seconds))


def assert_same(found: StoredEvents, expected: EventStore) -> None:
    assert_frame_equal(rows_of(found), rows_of(expected))
    for part in found.manifest.parts:
        rows = found._files.read([part], ids=False)
        assert (part.rows, part.first, part.last) == (len(rows.t), rows.t.min(), rows.t.max())
        assert sum(part.blocks.values()) == part.rows
    known, wanted = found.manifest, expected.manifest
    assert (known.duplicates, known.differing, known.shared) == (wanted.duplicates, wanted.differing, wanted.shared)
    assert found.counts == expected.counts


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}
