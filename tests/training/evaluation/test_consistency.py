"""Changing the future moves no feature; a fold that looks ahead is caught, and a profile that lies too."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.definition.columns import feature_set
from features.event_store.store import EventStore
from features.events.log import InMemory
from features.profile.fold import feature_rows
from features.reading.source import EventLog
from features.time import DAY, Instants, to_instant
from tests.conftest import World
from tests.features.event_store.logs import ENDS, definition_in, opened, put, random_rows
from tests.oracle import Event
from tests.worlds import definition_of, events_of
from training.evaluation import consistency as probe
from training.evaluation.consistency import changed_after, future_check, parity
from training.evaluation.gate import served_alike


@pytest.fixture
def store(tmp_path: Path) -> EventStore:
    put(tmp_path, "a", random_rows(6_000, users=300))
    return opened(tmp_path)


def cutoffs(store: EventStore) -> Instants:
    return np.array([store.first + days * DAY for days in (4, 9, 15)])


def test_the_future_leaves_features_alone(store: EventStore, tmp_path: Path) -> None:
    found = future_check(store, cutoffs(store), store.log.definition, tmp_path / "probe")
    assert not found.alarm
    looked = re.fullmatch(r"features of ([\d,]+) sampled rows stay what they are when .* is changed", found.text)
    assert looked is not None, found.text
    assert int(looked[1].replace(",", "")) > 500, "three cutoffs of some 300 users"
    assert not (tmp_path / "probe").exists()


def test_a_fold_that_looks_a_day_ahead_is_caught(
    store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peeking(events: object, reading: object, definition: object) -> Iterator[pl.DataFrame]:
        ahead = type(reading)(reading.cutoffs + DAY, reading.lo, reading.hi)  # type: ignore[attr-defined,call-arg]
        return feature_rows(events, ahead, definition)  # type: ignore[arg-type]

    monkeypatch.setattr(probe, "feature_rows", peeking)
    found = future_check(store, cutoffs(store), store.log.definition, tmp_path / "probe")
    assert found.alarm
    assert found.fails
    assert "features of past cutoffs move" in found.text


@settings(max_examples=30)
@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), min_size=1, max_size=40))
def test_another_future_is_a_log_all_the_same_and_the_past_stays(at: int, days: list[tuple[int, int]]) -> None:
    start = to_instant(datetime(2025, 1, 1, tzinfo=UTC))
    log = [
        Event(f"u{i % 3}", start + d * DAY, ("visit",), 0.0, start + (d + late) * DAY)
        for i, (d, late) in enumerate(days)
    ]
    definition = definition_of()
    events, cutoff = events_of(definition, log), start + at * DAY
    changed = changed_after(events, cutoff, 3)
    for user in range(len(events.users)):
        mine = changed.t[changed.starts[user] : changed.starts[user + 1]]
        assert (np.diff(mine) >= 0).all(), "sorted by time within each user"
    assert (changed.mask < 1 << 3).all()
    assert (changed.visible > changed.t).all()
    seen, kept = events.visible <= cutoff, changed.visible <= cutoff
    assert np.array_equal(np.sort(events.t[seen]), np.sort(changed.t[kept]))
    assert (changed.t[~kept] >= cutoff).sum() >= len(events.users), "something happens to everybody"


def test_the_service_sees_what_training_sees(world: World, tmp_path: Path) -> None:
    log = EventStore.open(EventLog(world.definition), world.settings)
    served, rows = parity(log, world.definition, world.settings, tmp_path / "probe")
    assert len(served) == len(rows) >= 1_000
    names = list(feature_set(world.definition).numeric)
    assert np.array_equal(served.matrix, rows.select(names).fill_null(np.nan).to_numpy(), equal_nan=True)
    assert list(served.traits) == list(feature_set(world.definition).traits)
    for name, texts in served.traits.items():
        assert texts.to_list() == rows[name].to_list()


def test_parity_is_exact_or_failed() -> None:
    p = np.array([0.1, 0.2])
    assert served_alike(p, p, 0).passed
    assert served_alike(p, p + np.array([0.0, 1e-12]), 0).passed is False
    assert served_alike(p, p, 3).passed is False
    assert "3 more cannot be answered" in served_alike(p, p, 3).found


def test_works_on_events_in_memory_too(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(2_000))
    definition = definition_in(tmp_path)
    log = InMemory(EventLog(definition).read())
    assert not future_check(log, np.array([to_instant(ENDS) - 80 * DAY]), definition, tmp_path / "p").alarm
