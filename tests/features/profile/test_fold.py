"""The compiled fold says what the oracle says, whatever the log looks like."""

import itertools
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definition import Definition
from features.definition.columns import read_columns
from features.definition.sections.families import Family
from features.profile.codec import pack, unpack
from features.profile.fold import feature_rows, fold_into, profile_rows, profiles_at, read_all_at, read_each_at
from features.profile.layout import H_EVENTS, NEVER, layout_of
from features.time import DAY, HOUR, MINUTE, to_instant
from tests.features.profile.folded import (
    DEFINITION,
    DEFINITIONS,
    EVERYTHING,
    KEPT,
    KEPT_BY_KEY,
    ORDERS,
    PLAN,
    START,
    assert_same,
    cutoff_lists,
    instants,
    logs,
    rows_at,
    shops,
)
from tests.oracle import Event, feature_row
from tests.worlds import definition_of, events_of


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.timezone + str(len(read_columns(d))))
@given(log=logs() | shops(), cutoffs=cutoff_lists)
def test_every_cutoff_agrees_with_the_oracle(definition: Definition, log: list[Event], cutoffs: list[int]) -> None:
    events = events_of(definition, log)
    frames = list(feature_rows(events, read_all_at(events, np.array(cutoffs)), definition))
    rows = {(r["user"], to_instant(r["cutoff"])): r for frame in frames for r in frame.to_dicts()}
    expected = {(u, c): feature_row(definition, log, u, c) for u in "ab" for c in cutoffs}
    assert set(rows) == {key for key, row in expected.items() if row is not None}
    for key, row in expected.items():
        if row is not None:
            assert_same(rows[key], row, str(key))


@given(logs(), instants, st.randoms())
def test_order_of_rows_does_not_matter(log: list[Event], cutoff: int, random: object) -> None:
    shuffled = list(log)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (rows_at(events_of(EVERYTHING, each), cutoff, EVERYTHING) for each in (log, shuffled))
    assert first.equals(second)


@given(logs(), instants)
def test_nothing_at_or_after_the_cutoff_is_seen(log: list[Event], cutoff: int) -> None:
    before = [e for e in log if e.t < cutoff and (e.arrived is None or e.arrived <= cutoff)]
    if before:
        whole, seen = (rows_at(events_of(EVERYTHING, each), cutoff, EVERYTHING) for each in (log, before))
        assert whole.equals(seen)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.timezone + str(len(read_columns(d))))
@given(log=logs() | shops(), cutoff=instants)
def test_a_packed_profile_reads_what_the_batch_reads(definition: Definition, log: list[Event], cutoff: int) -> None:
    events = events_of(definition, log)
    layout = layout_of(definition)
    batch = rows_at(events, cutoff, definition)
    for _, words in profiles_at(events, cutoff, layout):
        seen = words[:, 5] > 0
        stored = np.array([unpack(pack(w, layout), layout) for w in words[seen]], dtype=np.int64)
        who = events.users.filter(pl.Series(seen)).to_list()
        online = profile_rows(who, stored.reshape(-1, layout.size), np.full(len(stored), cutoff), definition)
        assert batch.equals(online.frame())


def test_a_line_that_comes_after_sixteen_other_orders_begins_another_one() -> None:
    for others, count in ((15, 16), (16, 18)):
        keys = ["first", *(f"o{i}" for i in range(others)), "first"]
        log = [Event("a", START + i * HOUR, ("purchase",), 10.0, order=key) for i, key in enumerate(keys)]
        row = rows_at(events_of(ORDERS, log), START + 2 * DAY, ORDERS).to_dicts()[0]
        assert (row["purchase_count_total"], row["purchase_value_total"]) == (count, 10.0 * len(log))
        assert_same(row, feature_row(ORDERS, log, "a", START + 2 * DAY), "a")


@pytest.mark.parametrize("definition", [KEPT, KEPT_BY_KEY], ids=["kept", "by key"])
def test_orders_of_long_lives_that_stand_agree_with_the_oracle(definition: Definition) -> None:
    """More orders than are remembered, several on one day, given back by name, by amount, in parts and all at once."""
    random = np.random.default_rng(5)
    for _ in range(60):
        log, often = list[Event](), random.uniform(0.1, 0.6)
        for i in range(int(random.integers(20, 70))):
            back = random.random() < often
            worth = float(random.choice([0.0, 0.1, 0.2, 0.3, 5.0, 200.0 if back else 5.0]))
            key = None if random.random() < 0.3 else f"o{i // 2 - (int(random.integers(0, 4)) if back else 0)}"
            t = START + int(i * random.integers(6, 12)) * HOUR
            log.append(Event("a", t, ("purchase",), worth, None, None, 0.0, ("purchase",) if back else (), key))
        cutoffs = np.unique(random.integers(START + HOUR, START + 35 * DAY, 6))
        events = events_of(definition, log)
        rows = pl.concat(feature_rows(events, read_all_at(events, cutoffs), definition)).to_dicts()
        assert len(rows) > 0
        for row in rows:
            expected = feature_row(definition, log, "a", to_instant(row["cutoff"]))
            assert expected is not None
            assert_same(row, expected, str(row["cutoff"]))


@pytest.mark.parametrize(
    "definition", [EVERYTHING, ORDERS, KEPT, KEPT_BY_KEY, PLAN], ids=lambda d: str(len(read_columns(d)))
)
@given(log=logs() | shops(), stops=st.lists(instants, max_size=4))
def test_a_profile_that_is_packed_on_the_way_ends_as_one_that_never_was(
    definition: Definition, log: list[Event], stops: list[int]
) -> None:
    """Day by day and live, profiles are packed, stored and folded on."""
    log = [replace(e, arrived=None) for e in log]
    end, layout = START + 80 * DAY, layout_of(definition)
    events = events_of(definition, log)
    words = np.zeros((len(events.users), layout.size), dtype=np.int64)
    for lo, hi in itertools.pairwise([0, *sorted(stops), end]):
        some = [e if lo <= e.t < hi else replace(e, t=e.t + 10_000 * DAY) for e in log]
        part = events_of(definition, some)
        fold_into(part, 0, len(part.users), end, layout, words, np.full(len(words), NEVER))
        words = np.array([unpack(pack(w, layout), layout) if w[H_EVENTS] else w for w in words], dtype=np.int64)
    rows = profile_rows(events.users.to_list(), words, np.full(len(words), end), definition)
    assert rows.frame().equals(rows_at(events, end, definition))


@given(logs(), st.lists(st.tuples(st.sampled_from("abz"), instants), min_size=1, max_size=8))
def test_each_user_can_be_asked_at_cutoffs_of_their_own(log: list[Event], asked: list[tuple[str, int]]) -> None:
    events = events_of(DEFINITION, log)
    reading = read_each_at(events, pl.DataFrame(asked, schema={"user": pl.String, "cutoff": pl.Int64}, orient="row"))
    rows = pl.concat(feature_rows(events, reading, DEFINITION)).to_dicts()
    expected = {(u, c): feature_row(DEFINITION, log, u, c) for u, c in asked}
    assert {(r["user"], to_instant(r["cutoff"])) for r in rows} == {
        key for key, row in expected.items() if row is not None
    }
    for row in rows:
        assert_same(row, expected[row["user"], to_instant(row["cutoff"])], f"{row['user']} at {row['cutoff']}")


def test_a_long_history_drops_old_tiles_without_changing_the_windows() -> None:
    log = [Event("a", START + day * DAY + HOUR, ("visit", "purchase"), 1.5) for day in range(400)]
    cutoff = START + 400 * DAY
    row = rows_at(events_of(EVERYTHING, log), cutoff, EVERYTHING).to_dicts()[0]
    assert_same(row, feature_row(EVERYTHING, log, "a", cutoff), "a")
    layout = layout_of(DEFINITION)
    [(_, words)] = profiles_at(events_of(DEFINITION, log), cutoff, layout)
    stored = unpack(pack(words[0], layout), layout)
    assert stored[1] == layout.keep_days + 2, "the packed profile keeps the days a window can reach and one before"


def test_ring_windows_saturate_at_sixteen_events() -> None:
    log = [Event("a", START + i * MINUTE, ("visit",)) for i in range(20)]
    row = rows_at(events_of(DEFINITION, log), START + 20 * MINUTE).to_dicts()[0]
    assert row["visit_count_30m"] == 16
    assert row["visit_count_1d"] == 20


@pytest.mark.parametrize("windows", [[1], [7, 30], ["5m", 1, 2, 4]])
@pytest.mark.parametrize("families", [[], ["values"], ["gaps"], ["sessions"], ["calendar"], list(Family)])
def test_columns_and_kernel_agree_on_the_number_of_columns(windows: list[object], families: list[str]) -> None:
    definition = definition_of(windows=windows, features={"families": families})
    log = [Event("a", START, ("visit",)), Event("a", START + 3 * DAY, ("purchase",), 4.0)]
    row = rows_at(events_of(definition, log), START + 5 * DAY, definition).to_dicts()[0]
    reported = feature_row(definition, log, "a", START + 5 * DAY)
    assert reported is not None
    assert list(row)[2:] == list(read_columns(definition))
    assert set(row) == {"user", "cutoff", *reported}
    assert_same(row, feature_row(definition, log, "a", START + 5 * DAY), "a")


def test_a_comeback_is_reported_however_many_events_came_since() -> None:
    """An absence of 23 days is none, one of 30 days to the second is one."""
    for away, back in ((23 * DAY, False), (30 * DAY - 1, False), (30 * DAY, True), (79 * DAY, True)):
        since = [START + away + i * 2 * HOUR for i in range(80)]
        log = [Event("a", t, ("visit",)) for t in (START - DAY, START, *since)]
        row = rows_at(events_of(DEFINITION, log), since[-1] + HOUR).to_dicts()[0]
        reported = row["days_since_comeback_visit"]
        assert reported == (pytest.approx((since[-1] + HOUR - since[0]) / DAY) if back else None), away
