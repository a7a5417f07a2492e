"""The compiled fold says what the oracle says, whatever the log looks like."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features.definition import Definition
from features.definition.columns import feature_set, read_columns
from features.definition.sections.families import Family
from features.events.events import Events
from features.profile.codec import pack, unpack
from features.profile.fold import feature_rows, fold_into, profile_rows, profiles_at, read_all_at, read_each_at
from features.profile.layout import H_EVENTS, NEVER, layout_of
from features.time import DAY, HOUR, MINUTE, to_datetime, to_instant
from tests.oracle import Event, feature_row
from tests.worlds import definition_of, events_of, with_signal

WINDOWS = ["30m", "2h", 1, 3, 7, 14, 30]
DEFINITION = definition_of(windows=WINDOWS)


def everything(timezone: str) -> Definition:
    """A definition with every family of features there is."""
    return definition_of(
        timezone=timezone,
        windows=WINDOWS,
        features={"families": list(Family), "absence": "3d", "session": "1h"},
        signals=with_signal(
            "purchase", distinct=["product"], more_values={"items": "quantity", "margin": "revenue / 2"}
        )
        | {"cart_add": {"where": "event = 'cart_add'", "more_values": {"items": "quantity"}}}
        | {"visit": {"where": "event = 'visit'", "activity": True, "distinct": {"pages": "page", "seen": "product"}}},
    )


EVERYTHING = everything("UTC")
#: a day of 25 hours, clocks that go back and forward at midnight, and by half an hour, between the cutoffs
ZONED = [everything(name) for name in ("America/New_York", "Africa/Cairo", "America/Asuncion", "Australia/Lord_Howe")]
#: without families
MORE = definition_of(signals=with_signal("purchase", distinct=["product"], more_values={"items": "quantity"}))
#: two signals with a value
TWO = definition_of(
    windows=WINDOWS, features={"families": ["values"]}, signals=with_signal("cart_add", value="revenue * 2")
)
#: orders of several rows, with every family; those of the cart by a key of their own
ORDERS = definition_of(
    windows=WINDOWS,
    features={"families": list(Family), "absence": "3d", "session": "1h"},
    signals=with_signal("purchase", distinct=["product"], more_values={"items": "quantity"}, order="order_id")
    | {"cart_add": {"where": "event = 'cart_add'", "value": "revenue", "order": "lower(order_id)"}},
)
#: signals that say which rows are refunds: without keys of orders, and with them
KEPT = definition_of(windows=WINDOWS, signals=with_signal("purchase", refund="event = 'refund'"))
KEPT_BY_KEY = definition_of(
    windows=WINDOWS,
    timezone="America/New_York",
    features={"families": list(Family), "absence": "3d", "session": "1h"},
    signals=with_signal("purchase", distinct=["product"], order="order_id", refund="event = 'refund'")
    | {"cart_add": {"where": "event = 'cart_add'", "value": "revenue", "refund": "revenue < 0"}},
)
#: a plan's charge
PLAN = definition_of(
    windows=WINDOWS, signals=with_signal("purchase", recurring={"months": "quantity", "grace": "3d", "over": "14d"})
)
PACKED = [EVERYTHING, ORDERS, KEPT, KEPT_BY_KEY, PLAN]
DEFINITIONS = [DEFINITION, EVERYTHING, MORE, TWO, ORDERS, KEPT, KEPT_BY_KEY, PLAN, *ZONED]
START = 20_000 * DAY

#: instants crowd on day edges, on the cutoffs and on each other
instants = st.builds(
    lambda day, at: START + day * DAY + at,
    st.integers(0, 70),
    st.sampled_from([0, 1, DAY - 1, 12 * HOUR, 12 * HOUR + 1, 6 * HOUR - 1, 90 * MINUTE])
    | st.sampled_from([hour * HOUR + by for hour in (3, 4, 5, 10, 16, 21, 22) for by in (-1, 0, 30 * MINUTE)])
    | st.integers(0, DAY - 1),
)
signals = st.sets(st.sampled_from(list(DEFINITION.signals)), min_size=1).map(lambda s: tuple(sorted(s)))


@st.composite
def logs(draw: Callable) -> list[Event]:
    times = draw(st.lists(instants, min_size=1, max_size=40))
    events = []
    for t in times + draw(st.lists(st.sampled_from(times), max_size=8)):
        late = draw(st.none() | st.sampled_from([0, 1, HOUR, DAY, 9 * DAY]))
        value = draw(st.integers(0, 10_000) | st.integers(-10_000, -1)) / 100
        refunds = draw(st.sampled_from([(), (), ("purchase",)]))
        arrived = None if late is None else t + late
        product = draw(st.none() | st.sampled_from("pqrs") | st.integers(0, 90).map(str))
        fired, items = draw(signals | st.just(())) if refunds else draw(signals), draw(st.integers(-3, 9)) / 4
        order = draw(st.none() | st.sampled_from(["o1", "o1", "o2", "o3"]))
        events.append(Event(draw(st.sampled_from("ab")), t, fired, value, arrived, product, items, refunds, order))
    return events


@st.composite
def shops(draw: Callable) -> list[Event]:
    """Purchases and refunds of few amounts, so that one is often the other's, in the order of a user's life."""
    events = []
    for t in sorted(draw(st.lists(instants, min_size=1, max_size=40))):
        fired = draw(st.sampled_from([("purchase",), ("purchase",), ("visit",), ("cart_add",)]))
        refunds = draw(st.sampled_from([(), (), ("purchase",)]))
        value, order = draw(st.sampled_from([0.0, 0.1, 0.2, 0.3, 20.0, -20.0])), draw(st.sampled_from([None, *"opqr"]))
        late = draw(st.sampled_from([0, 0, HOUR, 9 * DAY]))
        events.append(Event("a", t, fired, value, t + late, None, 0.0, refunds, order))
    return events


cutoff_lists = st.lists(instants, min_size=1, max_size=6, unique=True).map(sorted)


def assert_same(row: dict[str, object], expected: dict[str, float], where: str) -> None:
    for name, value in expected.items():
        found = math.nan if row[name] is None else float(row[name])  # type: ignore[arg-type]
        exact = any(part in name.split("_") for part in ("count", "kept", "distinct", "days", "sessions"))
        close = found == value if exact else math.isclose(found, value, rel_tol=1e-6, abs_tol=1e-9)
        # a sum over an active-day grid is exact; a quotient of two exact numbers may differ in the last bit
        assert close or math.isclose(found, value, rel_tol=1e-12) or (math.isnan(found) and math.isnan(value)), (
            f"{where}: {name} is {found}, the oracle says {value}"
        )


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
    first, second = (_rows_at(events_of(EVERYTHING, each), cutoff, EVERYTHING) for each in (log, shuffled))
    assert first.equals(second)


@given(logs(), instants)
def test_nothing_at_or_after_the_cutoff_is_seen(log: list[Event], cutoff: int) -> None:
    before = [e for e in log if e.t < cutoff and (e.arrived is None or e.arrived <= cutoff)]
    if before:
        whole, seen = (_rows_at(events_of(EVERYTHING, each), cutoff, EVERYTHING) for each in (log, before))
        assert whole.equals(seen)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.timezone + str(len(read_columns(d))))
@given(log=logs() | shops(), cutoff=instants)
def test_a_packed_profile_reads_what_the_batch_reads(definition: Definition, log: list[Event], cutoff: int) -> None:
    events = events_of(definition, log)
    layout = layout_of(definition)
    batch = _rows_at(events, cutoff, definition)
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
        row = _rows_at(events_of(ORDERS, log), START + 2 * DAY, ORDERS).to_dicts()[0]
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
    assert rows.frame().equals(_rows_at(events, end, definition))


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
    row = _rows_at(events_of(EVERYTHING, log), cutoff, EVERYTHING).to_dicts()[0]
    assert_same(row, feature_row(EVERYTHING, log, "a", cutoff), "a")
    layout = layout_of(DEFINITION)
    [(_, words)] = profiles_at(events_of(DEFINITION, log), cutoff, layout)
    stored = unpack(pack(words[0], layout), layout)
    assert stored[1] == layout.keep_days + 2, "the packed profile keeps the days a window can reach and one before"


def test_ring_windows_saturate_at_sixteen_events() -> None:
    log = [Event("a", START + i * MINUTE, ("visit",)) for i in range(20)]
    row = _rows_at(events_of(DEFINITION, log), START + 20 * MINUTE).to_dicts()[0]
    assert row["visit_count_30m"] == 16
    assert row["visit_count_1d"] == 20


@pytest.mark.parametrize("windows", [[1], [7, 30], ["5m", 1, 2, 4]])
@pytest.mark.parametrize("families", [[], ["values"], ["gaps"], ["sessions"], ["calendar"], list(Family)])
def test_columns_and_kernel_agree_on_the_number_of_columns(windows: list[object], families: list[str]) -> None:
    definition = definition_of(windows=windows, features={"families": families})
    log = [Event("a", START, ("visit",)), Event("a", START + 3 * DAY, ("purchase",), 4.0)]
    row = _rows_at(events_of(definition, log), START + 5 * DAY, definition).to_dicts()[0]
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
        row = _rows_at(events_of(DEFINITION, log), since[-1] + HOUR).to_dicts()[0]
        reported = row["days_since_comeback_visit"]
        assert reported == (pytest.approx((since[-1] + HOUR - since[0]) / DAY) if back else None), away


@pytest.mark.parametrize("values", [1, 63, 64, 65, 66, 300, 20_000])
def test_different_values_are_exact_while_they_are_few_and_estimated_then(values: int) -> None:
    log = [Event("a", START + i * MINUTE, ("purchase",), 1.0, product=f"p{i % values}") for i in range(values + 200)]
    for cutoff in (START + 50 * MINUTE, START + 40 * DAY):
        row = _rows_at(events_of(EVERYTHING, log), cutoff, EVERYTHING).to_dicts()[0]
        reported = feature_row(EVERYTHING, log, "a", cutoff)
        assert reported is not None
        assert_same(row, reported, "a")
    total = row["purchase_distinct_product_total"]
    assert total == values if values <= 64 else abs(total / values - 1) < 3 / math.sqrt(62)


def test_the_error_of_an_estimate_is_what_the_docs_say() -> None:
    """1 / sqrt(62) is 12.7 %."""
    log = [
        Event(f"u{u:03d}", START + i, ("purchase",), 1.0, product=f"{u}-{i}") for u in range(200) for i in range(500)
    ]
    found = _rows_at(events_of(EVERYTHING, log), START + DAY, EVERYTHING)["purchase_distinct_product_1d"].to_numpy()
    assert 0.10 < np.std(found / 500 - 1) < 0.15
    assert abs(np.mean(found / 500 - 1)) < 0.03


def test_gaps_are_those_of_the_last_sixteen_and_the_largest_ever() -> None:
    days = np.cumsum([0, 300, *[2, 9] * 8])
    log = [Event("a", START + int(day) * DAY, ("visit",)) for day in days]
    row = _rows_at(events_of(EVERYTHING, log), START + 1_000 * DAY, EVERYTHING).to_dicts()[0]
    assert (row["visit_gap_median"], row["visit_gap_largest"]) == (5.5, 300)


def test_values_at_one_instant_have_an_order_that_no_log_changes() -> None:
    values = [7.0, 3.0, 5.0]
    for order in itertools.permutations(values):
        log = [Event("a", START, ("purchase",), v) for v in order]
        row = _rows_at(events_of(EVERYTHING, log), START + DAY, EVERYTHING).to_dicts()[0]
        assert (row["purchase_value_first"], row["purchase_value_last"]) == (3.0, 7.0)


@pytest.mark.parametrize("day", [0, 1, 59, 60, 789, 11_016, 11_017, 20_512, 20_513, 47_540, 47_541])
def test_the_calendar_is_that_of_the_cutoff(day: int) -> None:
    cutoff = day * DAY + DAY - 1
    log = [Event("a", cutoff - HOUR, ("visit",))]
    row = _rows_at(events_of(EVERYTHING, log), cutoff, EVERYTHING).to_dicts()[0]
    date = to_datetime(cutoff)
    assert (row["cutoff_weekday"], row["cutoff_month_day"]) == (date.weekday(), date.day)


def test_families_change_the_feature_set_and_their_order_does_not() -> None:
    digests = [
        feature_set(definition_of(features=features)).digest
        for features in (
            {}, {"families": ["gaps"]}, {"families": ["gaps", "values"]}, {"absence": "60d"},
            {"families": ["sessions"]}, {"families": ["sessions"], "session": "1h"},
        )
    ]  # fmt: skip
    assert len(set(digests)) == 6
    assert feature_set(definition_of(features={"session": "1h"})).digest == digests[0], "which says nothing then"
    assert feature_set(definition_of(features={"families": ["values", "gaps"]})).digest == digests[2]


@pytest.mark.parametrize(
    ("features", "says"),
    [
        ({"families": ["nosuch"]}, "values"),
        ({"families": ["gaps", "gaps"]}, "repeats"),
        ({"absence": "2h"}, "a day"),
        ({"session": 0}, "30m"),
    ],
)
def test_features_that_cannot_be_are_refused(features: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        definition_of(features=features)


def _rows_at(events: Events, cutoff: int, definition: Definition = DEFINITION) -> pl.DataFrame:
    return pl.concat(feature_rows(events, read_all_at(events, np.array([cutoff])), definition))
