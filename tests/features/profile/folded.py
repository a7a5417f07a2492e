"""Definitions, logs that Hypothesis draws, and what the fold must say of them."""

import math
from collections.abc import Callable

import numpy as np
import polars as pl
from hypothesis import strategies as st

from features.definition import Definition
from features.definition.sections.families import Family
from features.events.events import Events
from features.profile.fold import feature_rows, read_all_at
from features.time import DAY, HOUR, MINUTE
from tests.oracle import Event
from tests.worlds import definition_of, with_signal

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
    """Events of two users, in any order, some of them late, refunded or twice."""
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
    """A row says what the oracle says."""
    for name, value in expected.items():
        found = math.nan if row[name] is None else float(row[name])  # type: ignore[arg-type]
        exact = any(part in name.split("_") for part in ("count", "kept", "distinct", "days", "sessions"))
        close = found == value if exact else math.isclose(found, value, rel_tol=1e-6, abs_tol=1e-9)
        # a sum over an active-day grid is exact; a quotient of two exact numbers may differ in the last bit
        assert close or math.isclose(found, value, rel_tol=1e-12) or (math.isnan(found) and math.isnan(value)), (
            f"{where}: {name} is {found}, the oracle says {value}"
        )


def rows_at(events: Events, cutoff: int, definition: Definition = DEFINITION) -> pl.DataFrame:
    """The rows of everybody at a cutoff."""
    return pl.concat(feature_rows(events, read_all_at(events, np.array([cutoff])), definition))
