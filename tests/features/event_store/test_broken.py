"""What breaks the event store is named, and nothing is lost or counted twice, whatever ended the process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import EventLogError
from features.event_store.store import EventStore
from features.reading.source import EventLog
from tests.conftest import ROOT
from tests.features.event_store.logs import (
    assert_same,
    definition_in,
    files_under,
    opened,
    parts,
    put,
    random_rows,
)

BUILD = """
import sys
from pathlib import Path
from features.event_store import store
store.BUCKET_ROWS = 300
from tests.features.event_store.logs import opened
opened(Path(sys.argv[1]))
"""


def killed_when(folder: Path, reached: Callable[[], bool]) -> bool:
    """Build in another process and SIGKILL it when something is reached; false when it ended before that."""
    process = subprocess.Popen([sys.executable, "-c", BUILD, str(folder)], cwd=ROOT, stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        if reached():
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True
    _, answer = process.communicate()
    assert process.returncode == 0, answer
    return False


@pytest.mark.long
def test_killed_at_any_moment_the_next_run_ends_the_same(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(15_000, users=900))
    put(tmp_path, "b", random_rows(15_000, users=900, seed=2))
    events = tmp_path / "var" / "small" / "events"

    def spread() -> bool:
        return any(file.parent.name == "scratch" for file in files_under(events))

    def written(n: int) -> Callable[[], bool]:
        return lambda: len(parts(tmp_path)) >= n

    killed = [killed_when(tmp_path, reached) for reached in (spread, written(1), written(20), written(60))]
    assert all(killed)
    assert not list(events.rglob("manifest.json")), "no state was ever completed"
    first = opened(tmp_path)
    assert_same(first.read(), EventLog(definition_in(tmp_path)).read())
    # a day more, killed half-way: the state before it is still there and whole
    put(tmp_path, "c", random_rows(6_000, users=900, seed=3))
    there = len(parts(tmp_path))
    assert killed_when(tmp_path, written(there + 15))
    kept = EventStore(EventLog(definition_in(tmp_path)), events)
    assert kept.manifest == first.manifest
    assert np.array_equal(kept.read().t, first.read().t)
    store = opened(tmp_path)
    assert_same(store.read(), EventLog(definition_in(tmp_path)).read())
    assert parts(tmp_path) == {part.name for part in store.manifest.parts}, "and nothing half-written is left"


def test_two_at_once_take_in_everything_once(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(6_000))
    command = [sys.executable, "-c", BUILD, str(tmp_path)]
    both = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == [b"", b""]
    store = opened(tmp_path)
    assert store.manifest.position == 1
    assert_same(store.read(), EventLog(definition_in(tmp_path)).read())


def spoil(file: Path, at: float = 0.5) -> None:
    content = bytearray(file.read_bytes())
    middle = int(len(content) * at)
    content[middle : middle + 200] = os.urandom(200)
    file.write_bytes(content)


@pytest.mark.parametrize("harm", ["cut", "spoilt", "missing"])
def test_a_damaged_part_is_named(tmp_path: Path, harm: str) -> None:
    put(tmp_path, "a", random_rows(3_000))
    store = opened(tmp_path)
    part = store.manifest.parts[2]
    file = next((tmp_path / "var").rglob(part.name))
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-40])
    elif harm == "spoilt":
        spoil(file, 0.05)
    else:
        file.unlink()
    with pytest.raises(EventLogError, match=rf"{part.name} cannot be read.*rebuilt"):
        store.read()


def test_a_damaged_file_of_the_log_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(3_000))
    before = opened(tmp_path).read()
    put(tmp_path, "b", random_rows(3_000, seed=2))
    spoil(put(tmp_path, "c", random_rows(3_000, seed=3)), 0.1)
    with pytest.raises(EventLogError, match=r"cannot read .*c\.parquet"):
        opened(tmp_path)
    kept = EventStore(EventLog(definition_in(tmp_path)), tmp_path / "var" / "small" / "events")
    assert np.array_equal(kept.read().t, before.t)
    put(tmp_path, "c", random_rows(3_000, seed=3))
    assert_same(opened(tmp_path).read(), EventLog(definition_in(tmp_path)).read())


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        (
            lambda f: f.with_columns(pl.col("revenue").cast(pl.String)),
            r"b\.parquet: column 'revenue' holds text; in .*a",
        ),
        (lambda f: f.with_columns(event_time=1.5), r"b\.parquet: column 'event_time' holds a number; in .*a time"),
        (lambda f: f.drop("user_id"), r"b\.parquet has no column 'user_id'"),
    ],
)
def test_a_day_with_other_columns_is_named(
    tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], answer: str
) -> None:
    put(tmp_path, "a", random_rows(300))
    opened(tmp_path)
    put(tmp_path, "b", change(random_rows(300, seed=2)))
    with pytest.raises(EventLogError, match=answer):
        opened(tmp_path)


def test_days_may_lack_or_add_what_is_not_needed(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(300).drop("arrived_at", "event_id", "revenue"))
    put(tmp_path, "b", random_rows(300, seed=2).with_columns(colour=pl.lit("red"), revenue=pl.lit(5)))
    events = opened(tmp_path).read()
    assert_same(events, EventLog(definition_in(tmp_path)).read())
    assert events.counts["rows"] == 600
    assert set(events.values[:, 0].tolist()) == {0.0, 5.0}, "a whole number is a number"
