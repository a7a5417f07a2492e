"""The event store says what the log says, however it came in, whatever ended the process, and names what is broken."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.definition import Definition
from features.errors import EventLogError
from features.log import store as store_module
from features.log.events import Events
from features.log.source import EventLog
from features.log.store import EventStore
from features.settings import Settings
from features.time import to_instant
from tests.conftest import ROOT
from tests.worlds import DEFINITION

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
ENDS = datetime(2025, 6, 1, tzinfo=UTC)
COLUMNS = {"user": "user_id", "event": "event", "time": "event_time", "arrived": "arrived_at", "id": "event_id"}
SCHEMA = {
    "event_id": pl.String(), "user_id": pl.String(), "event": pl.String(), "event_time": pl.Datetime("us", "UTC"),
    "arrived_at": pl.Datetime("us", "UTC"), "revenue": pl.Float64(),
}  # fmt: skip


def definition_in(folder: Path) -> Definition:
    events = {"path": str(folder / "log" / "*.parquet"), "columns": COLUMNS, "ends": ENDS.isoformat()}
    return Definition.model_validate(DEFINITION | {"events": events})


def random_rows(rows: int, *, users: int = 60, seed: int = 1, start: datetime = NOON) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    times = [start + timedelta(seconds=int(s)) for s in rng.integers(0, 20 * 86_400, rows)]
    events = rng.choice(["visit", "cart_add", "purchase", "push"], rows, p=[0.7, 0.1, 0.1, 0.1])
    return pl.DataFrame(
        {
            "event_id": [f"{seed}-{i}" for i in range(rows)],
            "user_id": [f"u{u:03d}" for u in rng.integers(0, users, rows)],
            "event": events,
            "event_time": times,
            "arrived_at": [t + timedelta(hours=int(h)) for t, h in zip(times, rng.integers(0, 50, rows), strict=True)],
            "revenue": np.where(events == "purchase", np.round(rng.gamma(2, 10, rows), 2), 0.0),
        },
        schema=SCHEMA,
    )


def put(folder: Path, name: str, rows: pl.DataFrame) -> Path:
    file = folder / "log" / f"{name}.parquet"
    file.parent.mkdir(exist_ok=True)
    rows.write_parquet(file)
    return file


def opened(folder: Path) -> EventStore:
    return EventStore.open(EventLog(definition_in(folder)), Settings(home=folder / "var"))


def assert_same(found: Events, expected: Events) -> None:
    assert found.users.to_list() == expected.users.to_list()
    for name in ("starts", "t", "visible", "mask", "values"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert found.counts == expected.counts


def parts(folder: Path) -> set[str]:
    return {file.name for file in (folder / "var").rglob("bucket-*.parquet")}


@pytest.fixture(autouse=True)
def _small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BUCKET_ROWS", 300)


minutes = st.integers(0, 3 * 24 * 60)
rows_of_a_file = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["visit", "purchase", "push"]), minutes,
              st.none() | st.integers(0, 12), st.integers(0, 3_000)),
    max_size=25,
)  # fmt: skip


@hypothesis_settings(max_examples=25)
@given(
    st.lists(rows_of_a_file, min_size=1, max_size=4).filter(lambda files: any(r[1] != "push" for f in files for r in f))
)
def test_taken_in_file_by_file_it_is_what_the_log_is(tmp_path_factory: pytest.TempPathFactory, files: list) -> None:
    folder = tmp_path_factory.mktemp("store")
    for i, rows in enumerate(files):
        table = {
            "event_id": [None if r[3] is None else f"{r[0]}{r[3]}" for r in rows],
            "user_id": [r[0] for r in rows],
            "event": [r[1] for r in rows],
            "event_time": [NOON + timedelta(minutes=r[2]) for r in rows],
            "arrived_at": [NOON + timedelta(minutes=r[2] + r[4]) for r in rows],
            "revenue": [float(r[2] % 7) for r in rows],
        }
        put(folder, f"day-{i}", pl.DataFrame(table, schema=SCHEMA))
        if any(r[1] != "push" for f in files[: i + 1] for r in f):
            store = opened(folder)
    assert_same(store.read(), EventLog(definition_in(folder)).read())
    runs = list(store.map(lambda events: (events.users.to_list(), len(events.t))))
    assert sorted(user for users, _ in runs for user in users) == store.read().users.to_list()
    assert sum(n for _, n in runs) == store.kept


def test_many_days_are_merged_and_stay_the_same(tmp_path: Path) -> None:
    put(tmp_path, "000", random_rows(3_000))
    for day in range(1, 31):
        again = random_rows(3_000).sample(10, seed=day)  # sent once more
        put(tmp_path, f"{day:03d}", pl.concat([random_rows(150, seed=day + 1), again]))
        store = opened(tmp_path)
    assert store.manifest.position == 30
    assert max(len(store.manifest.of_bucket(b)) for b in store.buckets) < 31, "parts are merged now and then"
    assert store.manifest.doubles >= 250, "what was sent again is not counted twice"
    assert_same(store.read(), EventLog(definition_in(tmp_path)).read())
    del store  # nobody reads an older state any more
    assert {part.name for part in opened(tmp_path).manifest.parts} == parts(tmp_path)


def test_nothing_new_reads_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a", random_rows(500))
    before = opened(tmp_path).manifest

    def never(*_: object) -> None:
        raise AssertionError("the log was read again")

    monkeypatch.setattr(EventLog, "batches", never)
    assert opened(tmp_path).manifest == before


def test_an_event_sent_again_with_an_earlier_time_counts_by_that(tmp_path: Path) -> None:
    rows = random_rows(900)
    put(tmp_path, "a", rows)
    opened(tmp_path)
    earlier = rows.filter(event="visit").head(3).with_columns(pl.col("event_time") - timedelta(days=2))
    put(tmp_path, "b", earlier)
    assert_same(opened(tmp_path).read(), EventLog(definition_in(tmp_path)).read())


def test_a_changed_file_builds_the_store_anew(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(500))
    put(tmp_path, "b", random_rows(500, seed=2))
    first = opened(tmp_path)
    put(tmp_path, "b", random_rows(400, seed=3))
    second = opened(tmp_path)
    assert second.manifest.generation == first.manifest.generation + 1
    assert_same(second.read(), EventLog(definition_in(tmp_path)).read())


def test_files_may_go_once_they_are_taken_in(tmp_path: Path) -> None:
    first = put(tmp_path, "a", random_rows(500))
    put(tmp_path, "b", random_rows(500, seed=2))
    whole = opened(tmp_path).read()
    first.unlink()
    assert_same(opened(tmp_path).read(), whole)
    put(tmp_path, "b", random_rows(100, seed=2))
    with pytest.raises(EventLogError, match=r"b.parquet has changed .* 1 files taken in before are gone .*a.parquet"):
        opened(tmp_path)


def test_it_is_the_same_log_from_wherever_it_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there"
    there.mkdir()
    put(there, "a", random_rows(500).drop("event_id"))
    columns = {key: name for key, name in COLUMNS.items() if key != "id"}
    events = {"path": "log/*.parquet", "columns": columns, "ends": ENDS.isoformat()}
    definition = Definition.model_validate(DEFINITION | {"events": events})

    def counted(folder: Path, seen_as: Path) -> int:
        definition._source = seen_as / "propensity.yaml"
        return EventStore.open(EventLog(definition), Settings(home=folder / "var")).counts["rows"]

    monkeypatch.chdir(there)
    assert counted(there, Path()) == 500
    assert counted(there, there) == 500
    monkeypatch.chdir(tmp_path)
    assert counted(there, Path("there")) == 500
    moved = there.rename(tmp_path / "elsewhere")
    assert counted(moved, moved) == 500, "moved with its definition"
    put(tmp_path, "b", random_rows(70).drop("event_id"))
    definition = definition.model_copy(
        update={"events": definition.events.model_copy(update={"path": "../log/*.parquet"})}
    )
    assert counted(moved, moved) == 70, "another place is another log"


def test_a_later_end_sees_what_lay_behind_it(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(500))
    log, middle = definition_in(tmp_path), to_instant(NOON + timedelta(days=9))
    store = EventStore.open(EventLog(log, ends=middle), Settings(home=tmp_path / "var"))
    assert_same(store.read(), EventLog(log, ends=middle).read())
    assert store.counts["at or after the declared end"] > 100
    assert_same(opened(tmp_path).read(), EventLog(log).read())


BUILD = """
import sys
from pathlib import Path
from features.log import store
store.BUCKET_ROWS = 300
from tests.features.log.test_store import opened
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
    _, said = process.communicate()
    assert process.returncode == 0, said
    return False


def test_killed_at_any_moment_the_next_run_ends_the_same(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(15_000, users=900))
    put(tmp_path, "b", random_rows(15_000, users=900, seed=2))
    events = tmp_path / "var" / "small" / "events"

    def spread() -> bool:
        return any(events.glob("*/scratch/*"))

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


def test_a_reader_keeps_what_it_reads_while_the_store_moves_on(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(600))
    reader = opened(tmp_path)
    before = reader.read()
    put(tmp_path, "a", random_rows(700, seed=5))
    assert len(opened(tmp_path).read().t) != len(before.t)
    assert_same(reader.read(), before)


def test_erased_users_stay_out(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(3_000, users=300))
    store = opened(tmp_path)
    before, names = store.read(), parts(tmp_path)
    mine = int(np.diff(before.starts)[before.users.to_list().index("u007")])
    assert store.erase(["u007", "nobody"]) == {"u007": mine, "nobody": 0}
    after = store.read()
    assert set(before.users) - set(after.users) == {"u007"}
    assert len(after.t) == len(before.t) - mine
    assert len(parts(tmp_path) - names) == 1, "only the user's bucket is written anew"
    put(tmp_path, "b", random_rows(3_000, users=300, seed=2))
    again = opened(tmp_path)
    assert "u007" not in again.read().users
    assert again.counts["erased user"] > 0
    assert len(again.read().t) == again.kept
    put(tmp_path, "a", random_rows(3_000, users=300, seed=4))
    assert "u007" not in opened(tmp_path).read().users, "nor when the store is built anew"


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
    with pytest.raises(EventLogError, match=rf"{part.name} cannot be read.*built anew"):
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
    ("change", "said"),
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
    tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], said: str
) -> None:
    put(tmp_path, "a", random_rows(300))
    opened(tmp_path)
    put(tmp_path, "b", change(random_rows(300, seed=2)))
    with pytest.raises(EventLogError, match=said):
        opened(tmp_path)


def test_days_may_lack_or_add_what_is_not_needed(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(300).drop("arrived_at", "event_id", "revenue"))
    put(tmp_path, "b", random_rows(300, seed=2).with_columns(colour=pl.lit("red"), revenue=pl.lit(5)))
    events = opened(tmp_path).read()
    assert_same(events, EventLog(definition_in(tmp_path)).read())
    assert events.counts["rows"] == 600
    assert set(events.values[:, 0].tolist()) == {0.0, 5.0}, "a whole number is a number"


def test_one_user_with_most_of_the_events(tmp_path: Path) -> None:
    crowd = random_rows(2_000)
    one = random_rows(200_000, users=1, seed=9).with_columns(user_id=pl.lit("busy"), event_time=pl.lit(NOON))
    put(tmp_path, "a", pl.concat([crowd, one]))
    store = opened(tmp_path)
    assert_same(store.read(), EventLog(definition_in(tmp_path)).read())


def test_a_value_that_is_no_number_is_none(tmp_path: Path) -> None:
    rows = random_rows(400).with_columns(
        revenue=pl.Series([[None, math.nan, math.inf, -math.inf, 2.5][i % 5] for i in range(400)])
    )
    put(tmp_path, "a", rows.with_columns(event=pl.lit("purchase")))
    assert set(opened(tmp_path).read().values[:, 0].tolist()) == {0.0, 2.5}


def test_empty_files_are_days_without_events(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(0))
    with pytest.raises(EventLogError, match=r"no event is left of .*it is empty"):
        opened(tmp_path)
    put(tmp_path, "b", random_rows(100))
    assert opened(tmp_path).counts["rows"] == 100


def test_another_definition_of_the_signals_has_a_store_of_its_own(tmp_path: Path) -> None:
    put(tmp_path, "a", random_rows(500))
    first = opened(tmp_path)
    definition = definition_in(tmp_path)
    signals = definition.signals | {
        "purchase": definition.signals["purchase"].model_copy(update={"value": "revenue * 2"})
    }
    other = definition.model_copy(update={"signals": signals, "_kept": {}})
    doubled = EventStore.open(EventLog(other), Settings(home=tmp_path / "var"))
    assert doubled.read().values.sum() == pytest.approx(2 * first.read().values.sum())
    assert_same(replace(opened(tmp_path).read()), first.read())
