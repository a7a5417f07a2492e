"""Orders that stand: what was given back wholly is as if it had never been ordered, at any cutoff that sees it."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.definition import Definition
from features.definition.columns import feature_set, occasions
from features.event_store.store import EventStore
from features.profile.fold import feature_rows, read_all_at
from features.profile.layout import layout_of
from features.reading.source import EventLog
from features.settings import Settings
from features.time import DAY, to_instant
from tests.features.event_store.logs import NOON, SCHEMA, assert_same, definition_in, put
from tests.worlds import with_signal

WINDOWS = [1, 7, 30]
END = to_instant(NOON) + 40 * DAY


@dataclass
class Till:
    """Purchases and refunds as they are rung up; a refund is an event of its own."""

    rows: list[tuple[object, ...]] = field(default_factory=list)

    def buys(self, at: float, worth: float, order: str | None = None, user: str = "a") -> "Till":
        return self.rings("purchase", at, worth, order, user)

    def refunds(self, at: float, amount: float, order: str | None = None, user: str = "a") -> "Till":
        return self.rings("refund", at, amount, order, user)

    def rings(self, event: str, at: float, worth: float, order: str | None, user: str = "a") -> "Till":
        time = NOON + timedelta(days=at)
        self.rows.append((f"m{len(self.rows)}", user, event, time, time, worth, order))
        return self

    def put(self, folder: Path) -> None:
        put(folder, "a", pl.DataFrame(self.rows, schema={**SCHEMA, "order_id": pl.String()}, orient="row"))


def definition(folder: Path, *, keys: bool = True, refund: bool = True) -> Definition:
    changes = {"order": "order_id"} if keys else {}
    changes |= {"refund": "event = 'refund'"} if refund else {}
    return definition_in(folder, windows=WINDOWS, signals=with_signal("purchase", **changes))


def row_at(folder: Path, rules: Definition, cutoff: int = END, user: str = "a") -> dict[str, float | None]:
    events = EventLog(rules).read()
    rows = pl.concat(feature_rows(events, read_all_at(events, np.array([cutoff])), rules))
    return rows.row(by_predicate=pl.col("user") == user, named=True)


@pytest.mark.parametrize(
    ("life", "orders", "stand"),
    [
        (Till().buys(1, 50, "x").buys(2, 30, "y").refunds(3, 50, "x"), 2, 1),
        (Till().buys(1, 50, "x").buys(2, 30, "y").refunds(3, 20, "x").refunds(4, 30, "x"), 2, 1),
        (Till().buys(1, 50, "x").buys(2, 30, "y").refunds(3, 49, "x"), 2, 2),
        (Till().buys(1, 50, "x").buys(2, 30, "y").refunds(3, 50, "z"), 2, 2),
        (Till().buys(1, 50, "x").buys(2, 30, "y").refunds(3, 80, "x"), 2, 0),
        (Till().buys(1, 30, "x").buys(1, 20, "x").refunds(3, 30, "x").buys(4, 9), 2, 2),
        (Till().buys(1, 30, "x").buys(1, 20, "x").refunds(3, 50, "x").buys(4, 9), 2, 1),
        (Till().buys(1, 30, "x").refunds(3, 30, "x").buys(4, 10, "x"), 1, 1),
        (Till().buys(1, 0, "x").buys(2, 30, "y").refunds(3, 10, "y"), 2, 2),
    ],
    ids=[
        "whole",
        "in parts",
        "a part",
        "of another",
        "all that was paid",
        "one line",
        "all lines",
        "exchanged",
        "free",
    ],
)
def test_a_refund_is_of_the_order_that_it_names(tmp_path: Path, life: Till, orders: int, stand: int) -> None:
    life.put(tmp_path)
    row = row_at(tmp_path, definition(tmp_path))
    assert (row["purchase_count_total"], row["purchase_kept_total"]) == (orders, stand)


@pytest.mark.parametrize(
    ("life", "stand"),
    [
        (Till().buys(1, 120).buys(10, 60).refunds(12, 60), {1}),
        (Till().buys(1, 60).buys(10, 60).refunds(12, 60), {1}),
        (Till().buys(1, 120).buys(10, 60).refunds(12, 30).refunds(13, 30), {1, 10}),
        (Till().buys(1, 120).buys(10, 60).refunds(12, 180), set()),
        (Till().buys(1, 60).refunds(12, 30).refunds(13, 30), set()),
        (Till().buys(1, 60).refunds(2, 60).buys(3, 60), {3}),
    ],
    ids=["its amount", "the newest", "parts", "all", "all in parts", "and bought again"],
)
def test_without_a_key_it_is_of_the_newest_order_that_is_worth_it(tmp_path: Path, life: Till, stand: set[int]) -> None:
    life.put(tmp_path)
    row = row_at(tmp_path, definition(tmp_path, keys=False))
    assert (row["purchase_kept_total"], row["purchase_kept_days_total"]) == (len(stand), len(stand))
    first, last = row["days_since_first_kept_purchase"], row["days_since_kept_purchase"]
    assert (first, last) == ((40 - min(stand), 40 - max(stand)) if stand else (None, None))


def test_at_a_cutoff_only_refunds_before_it_count(tmp_path: Path) -> None:
    Till().buys(1, 50, "x").buys(2, 30, "y").refunds(9, 50, "x").put(tmp_path)
    rules = definition(tmp_path)
    for day, stand in ((8, 2), (9, 2), (10, 1)):
        assert row_at(tmp_path, rules, to_instant(NOON) + day * DAY)["purchase_kept_total"] == stand
    assert row_at(tmp_path, rules, to_instant(NOON) + 9 * DAY)["purchase_kept_7d"] == 1, "of the window"


@pytest.mark.parametrize("keys", [True, False])
def test_orders_that_were_given_back_leave_the_numbers_of_a_log_without_them(tmp_path: Path, keys: bool) -> None:
    """Of hundreds of customers, at several cutoffs after the refunds."""
    random, without, beside = np.random.default_rng(3), Till(), Till()
    for user in range(150):
        for i in range(int(random.integers(1, 14))):
            day, worth = float(random.uniform(0, 38)), float(random.integers(1, 900)) / 100
            for till in (without, beside):
                till.buys(day, worth, f"kept-{user}-{i}", f"u{user}")
            if random.random() < 0.4:
                extra = float(random.integers(1_000, 9_000)) / 100  # no other order is worth as much
                beside.buys(day := float(random.uniform(0, 38)), extra, f"back-{user}-{i}", f"u{user}")
                beside.refunds(day + 1, extra, f"back-{user}-{i}", f"u{user}")
    sides = []
    for name, till, refund in (("without", without, False), ("beside", beside, True)):
        (folder := tmp_path / name).mkdir()
        till.put(folder)
        rules = definition(folder, keys=keys, refund=refund)
        assert_same(EventStore.open(EventLog(rules), Settings(home=folder / "var")).read(), EventLog(rules).read())
        events, often = EventLog(rules).read(), occasions("purchase", feature_set(rules).read)
        frame = pl.concat(feature_rows(events, read_all_at(events, np.array([END, END + 9 * DAY])), rules))
        names = [often.days, often.first, often.last, often.every, *(f"{often.days_in}_{w}d" for w in WINDOWS)]
        sides.append(frame.sort("user", "cutoff").select("user", "cutoff", often.times, *names))
    plain, kept = sides
    assert "purchase_kept_total" in kept.columns
    assert len(plain) > 250
    assert kept.rename(dict(zip(kept.columns, plain.columns, strict=True))).equals(plain)


def test_who_says_no_refund_keeps_columns_and_profiles(tmp_path: Path) -> None:
    with_refund, without = (definition(tmp_path, refund=refund) for refund in (True, False))
    assert not [name for name in feature_set(without).read if "kept" in name]
    assert feature_set(without).digest == "52869094", "as before there were orders that stand"
    assert layout_of(without).tile < layout_of(with_refund).tile


@pytest.mark.parametrize("event", ["refund", "purchase"])
def test_the_key_of_a_refund_is_read_whether_or_not_it_is_a_row_of_the_signal(tmp_path: Path, event: str) -> None:
    Till().buys(1, 50, "x").buys(2, 50, "y").buys(2.5, 9, "z").rings(event, 3, -50, "x").put(tmp_path)
    signals = with_signal("purchase", order="order_id", refund="revenue < 0")
    row = row_at(tmp_path, definition_in(tmp_path, windows=WINDOWS, signals=signals))
    assert (row["purchase_kept_total"], row["days_since_first_kept_purchase"]) == (2, 38)
