"""Runs of ids say which ids a store holds, whatever was merged, erased, or written by an older version."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.errors import EventLogError
from features.event_store.manifest import NAME, IdRun
from features.event_store.repeated.id_runs import IdRuns, first_of, spread
from features.event_store.store import EventStore
from features.reading.source import EventLog
from tests.features.event_store.logs import assert_same, definition_in, files_under, opened, put, random_rows

LEAST, MOST = -(1 << 63), (1 << 63) - 1
ids = st.sets(st.one_of(st.integers(LEAST, MOST), st.sampled_from([LEAST, -1, 1, MOST])).filter(bool), max_size=30)


@pytest.fixture(autouse=True)
def _small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.event_store.store.BUCKET_ROWS", 300)


def in_shards(some: set[int], shards: int) -> list[np.ndarray]:
    ordered, starts = spread(np.array(sorted(some), dtype=np.int64), shards)
    found = [np.sort(ordered[lo:hi]) for lo, hi in pairwise(starts)]
    for shard, here in enumerate(found):
        assert all(first_of(shard, shards) <= i < first_of(shard + 1, shards) for i in here.tolist())
    return found


@hypothesis_settings(max_examples=60)
@given(st.lists(ids, max_size=7), st.integers(1, 9), ids)
def test_runs_hold_the_ids_that_came(
    tmp_path_factory: pytest.TempPathFactory, days: list[set[int]], shards: int, asked: set[int]
) -> None:
    folder, runs, came = tmp_path_factory.mktemp("runs"), list[IdRun](), set[int]()
    for day, new in enumerate(days):
        runs = IdRuns.open(folder, runs).with_ids(in_shards(new, shards), shards, len(new), f"{day}.ids")
        came |= new
    some = np.array(sorted(asked | came), dtype=np.int64)
    assert IdRuns.open(folder, runs).members(some).tolist() == [i in came for i in some.tolist()]


def test_days_leave_few_runs(tmp_path: Path) -> None:
    runs: list[IdRun] = []
    for day in range(64):
        new = set(range(1 + 100 * day, 101 + 100 * day))
        runs = IdRuns.open(tmp_path, runs).with_ids(in_shards(new, 3), 3, len(new), f"{day}.ids")
    assert len(runs) <= 7


def held(folder: Path) -> tuple[set[int], set[int]]:
    """The ids of the parts, and those of the runs."""
    store = EventStore(EventLog(definition_in(folder)), folder / "var/small/events")
    home = folder / "var/small/events" / store.manifest.made_of
    parts = pl.concat([pl.read_parquet(home / part.name, columns=["id"]) for part in store.manifest.parts])["id"]
    runs = IdRuns.open(home, store.manifest.ids)
    return set(parts.to_list()) - {0}, {i for run in runs.ids for i in run.tolist()}


def with_repeats(day: int) -> pl.DataFrame:
    """A day of events; some come again, from their users or from others."""
    new, before = random_rows(800, seed=day), random_rows(800, seed=max(day - 1, 1))
    others = before.head(20).with_columns(user_id=pl.lit("u000"))
    return pl.concat([new, before.tail(30), others, new.head(5)])


def test_every_id_of_the_parts_is_in_a_run(tmp_path: Path) -> None:
    for day in range(1, 6):
        put(tmp_path, f"{day}", with_repeats(day))
        store = opened(tmp_path)
        parts, runs = held(tmp_path)
        assert parts == runs
    assert_same(store.read(), EventLog(definition_in(tmp_path)).read())
    assert store.counts["duplicate id"] == EventLog(definition_in(tmp_path)).read().counts["duplicate id"]


def test_an_erasure_leaves_no_id_and_the_next_day_finds_repeats(tmp_path: Path) -> None:
    for day in (1, 2):
        put(tmp_path, f"{day}", with_repeats(day))
        opened(tmp_path)
    opened(tmp_path).erase(["u007"])
    assert held(tmp_path)[1] == set()
    assert not [file for file in files_under(tmp_path / "var") if file.suffix == ".ids"]
    put(tmp_path, "3", with_repeats(3))
    opened(tmp_path)
    parts, runs = held(tmp_path)
    assert parts == runs


def test_a_store_of_an_older_version_gets_its_runs_when_rows_come(tmp_path: Path) -> None:
    for day in (1, 2):
        put(tmp_path, f"{day}", with_repeats(day))
        store = opened(tmp_path)
    [manifest] = [file for file in files_under(tmp_path / "var") if file.name == NAME]
    manifest.write_text(store.manifest.model_dump_json(exclude={"ids"}))
    for file in manifest.parent.glob("*.ids"):
        file.unlink()
    del store
    put(tmp_path, "3", with_repeats(3))
    assert_same(opened(tmp_path).read(), EventLog(definition_in(tmp_path)).read())
    parts, runs = held(tmp_path)
    assert parts == runs


def test_a_run_that_is_not_whole_is_named(tmp_path: Path) -> None:
    put(tmp_path, "1", with_repeats(1))
    opened(tmp_path)
    [run] = [file for file in files_under(tmp_path / "var") if file.suffix == ".ids"]
    run.write_bytes(run.read_bytes()[:-9])
    put(tmp_path, "2", with_repeats(2))
    with pytest.raises(EventLogError, match=rf"{run.name} holds .* bytes instead of"):
        opened(tmp_path)
