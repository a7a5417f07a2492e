"""Rows of one id: repeats, corrections and lines of an order are three cases, and none is decided by its content."""

import logging
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.definition import Definition, load_definition
from features.event_store.store import EventStore
from features.event_store.warnings import warnings_of
from features.events.log import Log
from features.open_log import open_log
from features.reading.source import EventLog
from features.settings import Settings
from features.system.progress import unseen
from tests.conftest import ROOT
from tests.features.event_store.logs import COLUMNS, ENDS, NOON, SCHEMA, assert_same, opened, put
from tests.worlds import DEFINITION


def row(user: str, amount: float, *, hours: float = 0, id: str = "o1", at: float = 0) -> dict[str, object]:
    return {
        "event_id": id, "user_id": user, "event": "purchase", "event_time": NOON + timedelta(hours=at),
        "arrived_at": NOON + timedelta(hours=at + hours), "revenue": amount,
    }  # fmt: skip


def frame(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=SCHEMA)


def without_arrival(folder: Path) -> Definition:
    columns = {key: name for key, name in COLUMNS.items() if key != "arrived"}
    events = {"path": str(folder / "log" / "*.parquet"), "columns": columns, "ends": ENDS.isoformat()}
    return Definition.model_validate(DEFINITION | {"events": events})


@pytest.mark.parametrize(("was", "now"), [(100.0, 80.0), (80.0, 100.0), (100.0, 0.0), (0.0, 100.0), (-5.0, 5.0)])
@pytest.mark.parametrize("files", [1, 2])
@pytest.mark.parametrize("turned", [False, True])
def test_case_26_the_newest_arrival_counts(tmp_path: Path, was: float, now: float, files: int, turned: bool) -> None:
    first, second = row("a", was), row("a", now, hours=24)
    rows = [second, first] if turned else [first, second]
    if files == 1:
        put(tmp_path, "0", frame(*rows))
    else:
        for i, one in enumerate(rows):
            put(tmp_path, str(i), frame(one))
            opened(tmp_path)
    store = opened(tmp_path)
    assert store.read().values[:, 0].tolist() == [now]
    assert store.counts["duplicate id"] == 1
    [answer] = warnings_of(store)
    assert "1 ids stand on rows that differ: of each id only the newest arrival counts" in answer
    assert_same(store.read(), EventLog(store.log.definition).read())


@pytest.mark.parametrize("files", [1, 2])
def test_without_arrivals_the_last_in_the_log_counts(tmp_path: Path, files: int) -> None:
    rows = [row("a", 80), row("a", 100)]
    for i in range(files):
        put(tmp_path, str(i), frame(*rows[i::files] if files == 2 else rows).drop("arrived_at"))
        store = EventStore.open(EventLog(without_arrival(tmp_path)), Settings(home=tmp_path / "var"))
    assert store.read().values[:, 0].tolist() == [100.0]
    assert "of each id only the last in the log counts" in warnings_of(store)[0]


def test_repeats_are_one_event_known_from_its_first_arrival_and_no_warning(tmp_path: Path) -> None:
    put(tmp_path, "0", frame(row("a", 5, hours=9), row("a", 5, hours=2), row("a", 7, id="o2")))
    opened(tmp_path)
    put(tmp_path, "1", frame(row("a", 5, hours=30)))
    store = opened(tmp_path)
    assert warnings_of(store) == []
    events = store.read()
    assert sorted(events.values[:, 0].tolist()) == [5.0, 7.0]
    five = int(np.flatnonzero(events.values[:, 0] == 5)[0])
    assert events.visible[five] - events.t[five] == 2 * 3_600_000_000
    assert store.manifest.merged == {}, "no bucket was written again for it"


def test_a_correction_counts_from_when_it_arrived(tmp_path: Path) -> None:
    put(tmp_path, "0", frame(row("a", 100, hours=1), row("a", 80, hours=24)))
    events = opened(tmp_path).read()
    assert (events.visible - events.t).tolist() == [24 * 3_600_000_000]


def test_case_05_lines_of_an_order_are_said_loudly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    definition = load_definition(ROOT / "tests" / "cases" / "05-order-of-several-rows-one-id" / "propensity.yaml")
    with caplog.at_level(logging.WARNING, "propensity.log"):
        log: Log = open_log(definition, Settings(home=tmp_path / "var"), ends=None, steps=unseen)
    assert log.ends
    [answer] = [r.getMessage() for r in caplog.records]
    assert answer.startswith("2 ids stand on rows that differ")
    assert "leave out events.columns.id, and name it at the signal, as in order: order_id" in answer
