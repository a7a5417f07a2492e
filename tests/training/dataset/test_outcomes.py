"""Labels: ``[c + gap, c + gap + horizon)``, by event time, only when they are known."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import ImmatureLabelError
from features.events.orders import without_lines
from features.local_days import zone_of
from features.rows import INSTANT
from features.time import DAY, HOUR
from tests.oracle import Event
from tests.worlds import definition_of, events_of, with_signal
from training.dataset.outcomes import label, last_cutoff
from training.dataset.returns import Returns

START = 20_000 * DAY
BOUGHT = ("purchase",)
DEFINITION = definition_of(
    outcomes={
        "buy": {"will": "purchase", "within": "7d", "gap": "1d", "among": "tenure_days >= 0"},
        "churn": {"will_not": "visit", "within": "7d", "among": "tenure_days >= 0", "matures_after": "3d"},
        "spend": {"sum_of": "purchase", "within": "7d", "gap": "1d", "among": "tenure_days >= 0"},
    }
)


def labels(log: list[Event], asked: list[tuple[str, int]], outcome: str) -> list[float]:
    far = Event("z", START + 400 * DAY, ("visit",))
    rows = pl.DataFrame(asked, schema={"user": pl.String, "cutoff": pl.Int64}, orient="row")
    rows = rows.with_columns(pl.col("cutoff").cast(INSTANT))
    return label(events_of(DEFINITION, [*log, far]), rows, DEFINITION, outcome).to_list()


@pytest.mark.parametrize(
    ("at", "happened"),
    [(-1, 0), (0, 0), (DAY - 1, 0), (DAY, 1), (5 * DAY, 1), (8 * DAY - 1, 1), (8 * DAY, 0)],
)
def test_the_window_begins_after_the_gap_and_excludes_its_end(at: int, happened: int) -> None:
    cutoff = START + 50 * DAY
    assert labels([Event("a", cutoff + at, ("purchase",))], [("a", cutoff)], "buy") == [happened]


def test_will_not_is_the_opposite() -> None:
    cutoff = START + 50 * DAY
    assert labels(
        [Event("a", cutoff, ("visit",)), Event("b", cutoff - 1, ("visit",))], [("a", cutoff), ("b", cutoff)], "churn"
    ) == [0, 1]


def test_a_late_arrival_counts_by_when_it_happened() -> None:
    cutoff = START + 50 * DAY
    assert labels([Event("a", cutoff + HOUR, ("visit",), arrived=cutoff + 60 * DAY)], [("a", cutoff)], "churn") == [0]


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.sampled_from([0, 1, HOUR])), max_size=30),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60)), min_size=1, max_size=10),
)
def test_labels_agree_with_a_loop(purchases: list[tuple[str, int, int]], asked: list[tuple[str, int]]) -> None:
    log = [Event(user, START + day * DAY + at, ("purchase",)) for user, day, at in purchases]
    cutoffs = [(user, START + day * DAY) for user, day in asked]
    expected = [int(any(e.user == u and c + DAY <= e.t < c + 8 * DAY for e in log)) for u, c in cutoffs]
    assert labels(log, cutoffs, "buy") == expected


def test_a_later_line_of_an_order_is_no_purchase() -> None:
    """An order that began before the window goes on in it, and another one begins."""
    cutoff, far = START + 50 * DAY, Event("z", START + 400 * DAY, ("visit",))
    definition = DEFINITION.model_copy(
        update={"signals": definition_of(signals=with_signal("purchase", order="order_id")).signals}
    )
    log = [
        Event(user, cutoff + at * DAY, BOUGHT, 10.0, order=order)
        for user, at, order in [("a", 0, "o1"), ("a", 2, "o1"), ("b", 0, "o1"), ("b", 2, "o2"), ("b", 3, "o2")]
    ]
    rows = pl.DataFrame({"user": ["a", "b"], "cutoff": [cutoff] * 2}).with_columns(pl.col("cutoff").cast(INSTANT))
    events = events_of(definition, [*log, far])
    assert label(events, rows, definition, "buy").to_list() == [0, 1]
    assert label(events, rows, definition, "spend").to_list() == [10.0, 20.0]
    [gap] = np.flatnonzero(Returns.of(without_lines(events, definition), 2, zone_of(definition.timezone)).ended)
    assert gap == 2, "a line on another day ends no silence"


def test_a_refund_is_no_purchase_and_takes_its_value_away() -> None:
    cutoff = START + 50 * DAY
    taken = [Event("a", cutoff + 2 * DAY, ("purchase",), -30.0), Event("b", cutoff + 2 * DAY, (), 30.0, refunds=BOUGHT)]
    bought = [Event(user, cutoff + 3 * DAY, BOUGHT, 50.0) for user in "ab"]
    asked = [("a", cutoff), ("b", cutoff)]
    assert labels(taken, asked, "buy") == [0, 0]
    assert labels(taken, asked, "spend") == [0.0, 0.0]
    assert labels([*taken, *bought], asked, "buy") == [1, 1]
    assert labels([*taken, *bought], asked, "spend") == [20.0, 20.0]


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.sampled_from([0, 1, HOUR]), st.integers(-5, 90)),
        max_size=30,
    ),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60)), min_size=1, max_size=10),
)
def test_sums_agree_with_a_loop(orders: list[tuple[str, int, int, int]], asked: list[tuple[str, int]]) -> None:
    log = [
        Event(user, START + day * DAY + at, ("purchase",) if value % 3 else ("visit",), value / 10)
        for user, day, at, value in orders
    ]
    cutoffs = [(user, START + day * DAY) for user, day in asked]
    expected = [
        max(0.0, sum(e.value for e in log if e.user == u and c + DAY <= e.t < c + 8 * DAY and "purchase" in e.signals))
        for u, c in cutoffs
    ]
    assert labels(log, cutoffs, "spend") == pytest.approx(expected)


def test_nothing_bought_is_exactly_nothing_whatever_came_before() -> None:
    log = [Event("a", START + day * DAY, ("purchase",), 0.1) for day in range(40)]
    assert labels(log, [("a", START + 39 * DAY)], "spend") == [0.0]


def test_a_label_that_is_not_known_yet_is_refused() -> None:
    events = events_of(DEFINITION, [Event("a", START, ("visit",))])
    newest = last_cutoff(DEFINITION, "churn", events.ends)
    assert newest == events.ends - 10 * DAY, "horizon and maturity"
    rows = pl.DataFrame({"user": ["a", "a"], "cutoff": [newest, newest + 1]}).with_columns(
        pl.col("cutoff").cast(INSTANT)
    )
    assert len(label(events, rows[:1], DEFINITION, "churn")) == 1
    with pytest.raises(ImmatureLabelError, match="known 10d later, but the log ends"):
        label(events, rows, DEFINITION, "churn")
