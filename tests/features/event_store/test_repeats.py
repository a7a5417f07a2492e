"""An id names one event of the whole log, no matter who sends it; file by file, in any order, or all at once."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.definition import Definition, load_definition
from features.event_store.store import EventStore
from features.event_store.warnings import warnings_of
from features.events.events import Events
from features.reading.source import EventLog
from features.settings import Settings
from tests.conftest import ROOT
from tests.features.event_store.logs import COLUMNS, ENDS, NOON, SCHEMA, assert_same, files_under, put
from tests.worlds import DEFINITION

HOUR = 3_600_000_000


@dataclass(frozen=True)
class Row:
    """A row of a small log: who, which id (0: none), when it happened and arrived (hours after noon), its value."""

    user: str
    id: int
    t: int
    arrived: int
    value: float

    def line(self) -> dict[str, object]:
        return {
            "event_id": f"i{self.id}" if self.id else None, "user_id": self.user, "event": "purchase",
            "event_time": NOON + timedelta(hours=self.t), "arrived_at": NOON + timedelta(hours=self.arrived),
            "revenue": self.value,
        }  # fmt: skip


def frame_of(rows: Sequence[Row]) -> pl.DataFrame:
    return pl.DataFrame([row.line() for row in rows], schema=SCHEMA)


def defined(folder: Path, *, arrivals: bool) -> Definition:
    columns = {key: name for key, name in COLUMNS.items() if arrivals or key != "arrived"}
    events = {"path": str(folder / "log" / "*.parquet"), "columns": columns, "ends": ENDS.isoformat()}
    return Definition.model_validate(DEFINITION | {"events": events})


def oracle(files: Sequence[Sequence[Row]], *, arrivals: bool) -> list[tuple[str, int, int, float]]:
    """The events of a log, one by one: (user, t, visible, value), sorted."""
    events, claims = [], dict[int, list[tuple[int, int, Row]]]()
    for place, row in enumerate(row for file in files for row in file):
        known = max(row.t * HOUR + 1, row.arrived * HOUR) if arrivals else row.t * HOUR + 1
        if row.id:
            claims.setdefault(row.id, []).append((known if arrivals else 0, place, row))
        else:
            events.append((row.user, row.t * HOUR, known, row.value))
    for sent in claims.values():
        owner = min(sent, key=lambda r: r[:2])[2].user
        rows = [one for one in sent if one[2].user == owner]
        alike = len({(row.t, row.value) for _, _, row in rows}) == 1
        known, _, row = min(rows, key=lambda r: r[:2]) if alike else max(rows, key=lambda r: r[:2])
        events.append((row.user, row.t * HOUR, known if arrivals else row.t * HOUR + 1, row.value))
    return sorted(events)


def reported(events: Events) -> list[tuple[str, int, int, float]]:
    noon = int(NOON.timestamp()) * 1_000_000
    users = np.repeat(events.users.to_numpy(), np.diff(events.starts))
    columns = (
        users.tolist(),
        (events.t - noon).tolist(),
        (events.visible - noon).tolist(),
        events.values[:, 0].tolist(),
    )
    return sorted(zip(*columns, strict=True))


def deliver(
    folder: Path, files: Sequence[Sequence[Row]], order: Sequence[Sequence[int]], *, arrivals: bool
) -> EventStore:
    """Put files into a log, some at a time, and take them in after each delivery."""
    definition, store = defined(folder, arrivals=arrivals), None
    for delivery in order:
        for i in delivery:
            rows = frame_of(files[i])
            put(folder, f"{i:02d}", rows if arrivals else rows.drop("arrived_at"))
        store = EventStore.open(EventLog(definition), Settings(home=folder / "var"))
    assert store is not None
    return store


a_row = st.builds(
    Row, st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 2), st.integers(0, 6), st.sampled_from([0.0, 1.0])
)


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[list[Row]], list[list[int]]]:
    files = draw(st.lists(st.lists(a_row, min_size=1, max_size=6), min_size=1, max_size=5))
    order = draw(st.permutations(range(len(files))))
    cuts = sorted(draw(st.sets(st.integers(1, len(files)), max_size=len(files))) | {len(files)})
    deliveries = [list(order[lo:hi]) for lo, hi in zip([0, *cuts[:-1]], cuts, strict=True)]
    return files, deliveries


@hypothesis_settings(max_examples=15, deadline=None)
@given(logs(), st.booleans())
def test_file_by_file_is_all_at_once_is_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, log: tuple[list[list[Row]], list[list[int]]], arrivals: bool
) -> None:
    check_all_ways(tmp_path_factory, log, arrivals)


@pytest.mark.nightly
@pytest.mark.long
@hypothesis_settings(max_examples=300, deadline=None)
@given(logs(), st.booleans())
def test_file_by_file_is_all_at_once_is_one_by_one_often(
    tmp_path_factory: pytest.TempPathFactory, log: tuple[list[list[Row]], list[list[int]]], arrivals: bool
) -> None:
    check_all_ways(tmp_path_factory, log, arrivals)


def check_all_ways(
    tmp_path_factory: pytest.TempPathFactory, log: tuple[list[list[Row]], list[list[int]]], arrivals: bool
) -> None:
    files, order = log
    folder = tmp_path_factory.mktemp("repeats")
    store = deliver(folder, files, order, arrivals=arrivals)
    whole = EventStore.open(EventLog(store.log.definition), Settings(home=folder / "again"))
    assert reported(store.read()) == oracle(files, arrivals=arrivals)
    assert_same(store.read(), whole.read())
    assert_same(store.read(), EventLog(store.log.definition).read())
    assert warnings_of(store) == warnings_of(whole)
    shutil.rmtree(folder)


@hypothesis_settings(max_examples=15, deadline=None)
@given(logs(), st.booleans())
def test_an_erased_user_was_never_there(
    tmp_path_factory: pytest.TempPathFactory, log: tuple[list[list[Row]], list[list[int]]], arrivals: bool
) -> None:
    files, order = log
    folder = tmp_path_factory.mktemp("erased")
    kept = [[Row("z", 0, 0, 0, 0.0)], *files]
    store = deliver(folder, kept, [[0], *([i + 1 for i in some] for some in order)], arrivals=arrivals)
    store.erase(["a"])
    store = EventStore.open(EventLog(store.log.definition), Settings(home=folder / "var"))
    without = [[row for row in file if row.user != "a"] for file in kept]
    assert reported(store.read()) == oracle(without, arrivals=arrivals)
    shutil.rmtree(folder)


def test_a_repeat_that_arrives_last_is_not_passed_over(tmp_path: Path) -> None:
    """The repeat (9) came in before the correction (5), which arrived earlier than it."""
    files = [[Row("a", 1, 0, 1, 1.0)], [Row("a", 1, 0, 9, 1.0)], [Row("a", 1, 0, 5, 0.0)]]
    store = deliver(tmp_path, files, [[0], [1], [2]], arrivals=True)
    assert reported(store.read()) == [("a", 0, 9 * HOUR, 1.0)]
    assert store.counts["duplicate id"] == 2


def test_a_retry_under_another_user_is_the_first_ones(tmp_path: Path) -> None:
    files = [[Row("known", 1, 0, 1, 1.0)], [Row("anonymous", 1, 0, 5, 1.0), Row("anonymous", 2, 0, 1, 1.0)]]
    store = deliver(tmp_path, files, [[0], [1]], arrivals=True)
    assert reported(store.read()) == [("anonymous", 0, HOUR, 1.0), ("known", 0, HOUR, 1.0)]
    [answer] = warnings_of(store)
    assert answer.startswith("1 ids were sent by several users: each is one event")


def test_another_user_cannot_correct_an_event(tmp_path: Path) -> None:
    """As live, where such a message is refused; the first to arrive has the event, in whichever order files come."""
    files = [[Row("b", 1, 0, 5, 0.0)], [Row("a", 1, 0, 1, 1.0), Row("a", 2, 0, 1, 1.0)], [Row("a", 1, 0, 4, 2.0)]]
    store = deliver(tmp_path, files, [[0], [1], [2]], arrivals=True)
    assert reported(store.read()) == [("a", 0, HOUR, 1.0), ("a", 0, 4 * HOUR, 2.0)]
    assert store.counts["duplicate id"] == 2


def test_an_event_moves_out_of_a_bucket_that_nothing_comes_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.event_store.store.BUCKET_ROWS", 1)
    files = [
        [Row(f"late-{i}", i, 0, 5, 1.0) for i in range(1, 9)],
        *([Row(f"u{i}", i, 0, 1, 1.0)] for i in range(1, 5)),
    ]
    store = deliver(tmp_path, files, [[i] for i in range(5)], arrivals=True)
    assert store.manifest.buckets == 8
    assert reported(store.read()) == oracle(files, arrivals=True)


def test_many_files_of_claims_are_put_together_and_say_the_same(tmp_path: Path) -> None:
    files = [[Row("ab"[i % 2], 1 + i % 3, 0, 40 - i, 1.0)] for i in range(34)]
    store = deliver(tmp_path, files, [[i] for i in range(34)], arrivals=True)
    assert reported(store.read()) == oracle(files, arrivals=True)
    assert len(store.manifest.repeats) < 30


def test_nothing_of_an_erased_user_is_in_the_claims(tmp_path: Path) -> None:
    files = [[Row("keeper", 1, 0, 1, 1.0)], [Row("someone-else", 1, 0, 5, 1.0)]]
    store = deliver(tmp_path, files, [[0], [1]], arrivals=True)
    claims = [f for f in files_under(tmp_path / "var") if f.match("repeats-*")]
    assert any(b"someone-else" in file.read_bytes() for file in claims)
    store.erase(["someone-else"])
    assert not any(b"someone-else" in file.read_bytes() for file in files_under(tmp_path / "var"))


def test_case_09_a_retried_message_counts_once_whoever_sends_it(tmp_path: Path) -> None:
    definition = load_definition(ROOT / "tests" / "cases" / "09-retried-message" / "propensity.yaml")
    events = EventLog(definition).read()
    spent = dict(zip(events.users, np.add.reduceat(events.values[:, 0], events.starts[:-1]), strict=True))
    assert spent["u1"] == 30.0
    assert spent["anon-1"] == 0.0, "what anon-1 sent again is u1's"
    store = EventStore.open(EventLog(definition), Settings(home=tmp_path / "var"))
    assert_same(store.read(), events)
