"""The event store says what the log says, however it came in."""

import json
import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.definition import Definition
from features.errors import EventLogError
from features.event_store.store import EventStore
from features.expressions.expression import Expression
from features.reading.source import EventLog
from features.settings import Settings
from features.system.files.kept_files import sealed, unsealed
from features.time import to_instant
from tests.features.event_store.logs import (
    COLUMNS,
    ENDS,
    NOON,
    SCHEMA,
    assert_same,
    definition_in,
    opened,
    parts,
    put,
    random_rows,
)
from tests.worlds import DEFINITION

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
    assert store.manifest.duplicates >= 250, "what was sent again is not counted twice"
    assert_same(store.read(), EventLog(definition_in(tmp_path)).read())
    del store  # nobody reads an older state any more
    assert {part.name for part in opened(tmp_path).manifest.parts} == parts(tmp_path)


def test_a_manifest_of_an_older_version_opens(tmp_path: Path) -> None:
    put(tmp_path, "0", random_rows(300))
    put(tmp_path, "1", random_rows(300))
    state = opened(tmp_path).manifest
    assert state.duplicates
    [path] = (tmp_path / "var").rglob("manifest.json")
    content = json.loads(unsealed(path.read_bytes()))
    path.write_bytes(sealed(json.dumps({_OLDER.get(name, name): value for name, value in content.items()})))
    assert b'"doubles": ' in path.read_bytes()
    assert opened(tmp_path).manifest == state, "nothing is read again"
    path.write_bytes(sealed("[]"))
    with pytest.raises(EventLogError, match="is not a manifest"):
        opened(tmp_path)


#: what the manifest called things before
_OLDER = {"duplicates": "doubles", "erased_rows": "buried"}


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
    assert len(parts(tmp_path) - names) == 1, "only the user's bucket is written again"
    put(tmp_path, "b", random_rows(3_000, users=300, seed=2))
    again = opened(tmp_path)
    assert "u007" not in again.read().users
    assert again.counts["erased user"] > 0
    assert len(again.read().t) == again.kept
    put(tmp_path, "a", random_rows(3_000, users=300, seed=4))
    assert "u007" not in opened(tmp_path).read().users, "nor when the store is rebuilt"


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
        "purchase": definition.signals["purchase"].model_copy(update={"value": Expression("revenue * 2")})
    }
    other = definition.model_copy(update={"signals": signals})
    doubled = EventStore.open(EventLog(other), Settings(home=tmp_path / "var"))
    assert doubled.read().values.sum() == pytest.approx(2 * first.read().values.sum())
    assert_same(replace(opened(tmp_path).read()), first.read())
