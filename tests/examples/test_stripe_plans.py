"""Plans of a log in the shape of Stripe's: its moves counted by hand, and months that add up."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from features.definition import Definition, load_definition
from features.imports.importer import load
from features.imports.job import import_files
from features.profile.fold import feature_rows, read_all_at
from features.reading.live_messages import TRACK, LogColumns, Message
from features.reading.source import EventLog
from features.time import DAY, to_instant
from serving.scoring.feature_rows import batch_rows
from serving.scoring.scorer import Scorer

START = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD = 30
MOVES = ("new", "expansion", "contraction", "churned", "reactivated")

#: of each customer the days on which Stripe says what is paid, and for what: an amount, and its interval; None ends it
LIVES: dict[str, list[tuple[float, int | None, str]]] = {
    "stays": [(day, 29, "month") for day in (3, 33, 63, 93, 123)],
    "yearly": [(5, 348, "year")],
    "grows": [(4, 29, "month"), (34, 29, "month"), (70, 99, "month"), (100, 99, "month"), (130, 99, "month")],
    "shrinks": [(8, 99, "month"), (38, 99, "month"), (68, 29, "month"), (98, 29, "month"), (128, 29, "month")],
    "leaves": [(2, 29, "month"), (32, 29, "month"), (50, None, "month")],
    "fails": [(10, 49, "month")],
    "returns": [(1, 29, "month"), (31, 29, "month"), (45, None, "month"), (100, 29, "month"), (130, 29, "month")],
    "late": [(95, 19, "month"), (125, 19, "month")],
}

#: (mrr at the start, moves, mrr at the end) of the months that end on days 30, 60, 90, 120 and 150, counted by hand
BY_HAND = [
    (0.0, {"new": 29 + 29 + 29 + 99 + 29 + 49 + 29}, 293.0),
    (293.0, {"churned": 29 + 49 + 29}, 186.0),  # leaves and returns cancel; nothing came of fails for 37 days
    (186.0, {"expansion": 70, "contraction": 70}, 186.0),
    (186.0, {"new": 19, "reactivated": 29}, 234.0),
    (234.0, {}, 234.0),
]


def export(folder: Path) -> Path:
    """Events of Stripe's API: subscriptions, and beside them charges and customers, which are no plans."""
    events: list[dict[str, object]] = []

    def add(at: float, kind: str, **of: object) -> None:
        created = int((START + timedelta(days=at)).timestamp())
        events.append({"id": f"evt_{len(events)}", "object": "event", "type": kind, "created": created,
                       "livemode": True, "data": {"object": of}})  # fmt: skip

    for customer, life in LIVES.items():
        add(0.5, "customer.created", object="customer", id=customer)
        for i, (day, amount, interval) in enumerate(life):
            kind = "deleted" if amount is None else "updated" if i else "created"
            plan = {"id": "plan", "object": "plan", "amount": 100 * (amount or life[i - 1][1] or 0),
                    "interval": interval, "interval_count": 1, "currency": "eur"}  # fmt: skip
            add(day, f"customer.subscription.{kind}", object="subscription", customer=customer, plan=plan, quantity=1,
                status="canceled" if amount is None else "active", currency="eur")  # fmt: skip
        add(20, "charge.succeeded", object="charge", customer=customer, amount=500_00, currency="eur")
    path = folder / "stripe.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> Definition:
    folder = tmp_path_factory.mktemp("stripe")
    list(import_files([export(folder)], load("stripe_events"), folder / "log"))
    ends = "event = 'customer.subscription.deleted'"
    content = {
        "name": "plans",
        "events": {"path": "log/*.parquet", "columns": {"user": "user", "event": "event", "time": "time", "id": "id"},
                   "ends": (START + timedelta(days=150)).isoformat()},
        "signals": {
            "billed": {"where": "event LIKE 'customer.%' OR event LIKE 'charge.%'", "activity": True},
            "order": {"where": "event = 'charge.succeeded'", "value": "amount"},
            "plan": {
                "where": f"event LIKE 'customer.subscription.%' AND (status = 'active' OR {ends})",
                "value": f"CASE WHEN {ends} THEN 0 ELSE plan_amount END",
                "recurring": {"months": "plan_months", "grace": "3d", "over": f"{PERIOD}d"},
            },
        },
        "windows": [7, 14, 30],
        "outcomes": {"churn": {"will_not": "billed", "within": "30d", "among": "plan_mrr > 0"}},
        "packs": {"lifecycle": {}, "saas": {"roles": {"recurring": "plan"}}},
    }  # fmt: skip
    (folder / "propensity.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return load_definition(folder / "propensity.yaml")


def months(definition: Definition) -> pl.DataFrame:
    cutoffs = to_instant(START) + PERIOD * DAY * np.arange(1, 6)
    events = EventLog(definition).read()
    return pl.concat(feature_rows(events, read_all_at(events, cutoffs), definition))


def test_the_moves_of_each_month_are_those_counted_by_hand(definition: Definition) -> None:
    sums = [f"plan_mrr{part}" for part in ("_before", *(f"_{move}" for move in MOVES), "")]
    found = months(definition).group_by("cutoff").agg(pl.col(sums).sum()).sort("cutoff")
    for (start, moves, end), month in zip(BY_HAND, found.rows(), strict=True):
        assert month[1:] == pytest.approx((start, *(moves.get(move, 0) for move in MOVES), end))


def test_months_reconcile_for_everybody_and_follow_on_each_other(definition: Definition) -> None:
    ended = dict.fromkeys(LIVES, 0.0)
    for row in months(definition).sort("cutoff").to_dicts():
        new, more, less, gone, back = (row[f"plan_mrr_{move}"] for move in MOVES)
        assert row["plan_mrr_before"] == ended[row["user"]], "a month begins as the one before has ended"
        assert row["plan_mrr"] == pytest.approx(row["plan_mrr_before"] + new + more + back - less - gone)
        assert sum(amount > 0 for amount in (new, more, less, gone, back)) <= 1
        ended[row["user"]] = row["plan_mrr"]


def test_plans_of_live_messages_are_those_of_the_files(definition: Definition) -> None:
    log, names, sent = EventLog(definition), ("amount", "status", "plan_amount", "plan_months"), []
    for row in pl.read_parquet(definition.folder / "log" / "*.parquet").to_dicts():
        at = to_instant(row["time"])
        body = {name: row[name] for name in names if row[name] is not None}
        sent.append(Message(row["id"], row["user"], TRACK, row["event"], at, at, body))
    live = LogColumns(definition, log.columns).rows(sent).sorted().events(log.ends, {})
    cutoffs = to_instant(START) + PERIOD * DAY * np.arange(1, 6)
    assert pl.concat(feature_rows(live, read_all_at(live, cutoffs), definition)).equals(months(definition))


def segments_at(definition: Definition, day: int) -> dict[str, set[str]]:
    cutoff, found = to_instant(START) + day * DAY, dict[str, set[str]]()
    scorer = Scorer(definition, {}, None)
    for rows in batch_rows(EventLog(definition, ends=cutoff).read(), definition, cutoff, None):
        for record in scorer.score(rows, np.full(len(rows), cutoff)).to_records():
            for name in record.segments:
                found.setdefault(name, set()).add(record.user_id)
    return {name: users for name, users in found.items() if name.startswith(("mrr_", "renewal"))}


def test_the_pack_names_who_moved(definition: Definition) -> None:
    """The renewal of a month is 30.4375 days after the charge."""
    assert segments_at(definition, 60) == {
        "mrr_churned": {"leaves", "fails", "returns"},
        "renewal_due": {"stays", "grows"},
    }
    assert segments_at(definition, 90) == {"mrr_expansion": {"grows"}, "mrr_contraction": {"shrinks"},
                                           "renewal_due": {"stays"}}  # fmt: skip
    assert segments_at(definition, 120) == {"mrr_new": {"late"}, "mrr_reactivated": {"returns"},
                                            "renewal_due": {"stays", "late"}}  # fmt: skip


def test_a_plan_is_no_order_and_a_renewal_has_a_day(definition: Definition) -> None:
    month = months(definition).filter(pl.col("cutoff") == START + timedelta(days=30))
    assert set(month["order_value_total"]) == {500.0}
    rows = {row["user"]: row for row in month.to_dicts()}
    assert rows["yearly"]["plan_mrr"] == 29.0, "a twelfth of a year"
    assert rows["yearly"]["plan_renewal_days"] == pytest.approx(365.25 - 25)
    assert rows["stays"]["plan_renewal_days"] == pytest.approx(3 + 30.4375 - 30)
    assert rows["late"]["plan_renewal_days"] is None


@pytest.mark.parametrize(
    ("change", "says"),
    [({"value": None}, "recurring"), ({"order": "id"}, "order"), ({"recurring": {"months": "1", "over": 0}}, "over")],
)
def test_a_plan_that_cannot_be_is_refused(change: dict[str, object], says: str) -> None:
    rule = {"where": "event = 'p'", "activity": True, "value": "plan_amount", "recurring": {"months": "plan_months"}}
    content = {"name": "plans", "events": {"path": "x", "columns": {"user": "u", "event": "event", "time": "t"}},
               "signals": {"plan": rule | change}, "windows": [7],
               "outcomes": {"churn": {"will_not": "plan", "within": "7d", "among": "plan_mrr > 0"}}}  # fmt: skip
    with pytest.raises(ValueError, match=says):
        Definition.model_validate(content)
