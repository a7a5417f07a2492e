"""Amounts of several currencies become amounts of one, in files and messages alike, and none is guessed."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from features.definition import Definition
from features.definition.columns import feature_set
from features.errors import DefinitionError, EventLogError
from features.event_store.store import EventStore
from features.reading.live_messages import TRACK, LogColumns, Message
from features.reading.source import EventLog
from features.settings import Settings
from features.time import HOUR, to_instant
from tests.features.event_store.logs import NOON, SCHEMA, assert_same, definition_in, put
from tests.worlds import definition_of, with_signal

CURRENCIES = {"into": "EUR", "rates": {"USD": 0.5, "gbp": 1.25}}


def rows_of(purchases: list[tuple[str, float | None, str | None]]) -> pl.DataFrame:
    """A visit of everybody, then what each has bought: user, amount, currency."""
    log = [(user, "visit", None, None) for user, *_ in purchases]
    log += [(user, "purchase", amount, code) for user, amount, code in purchases]
    at = [NOON + timedelta(hours=i) for i in range(len(log))]
    return pl.DataFrame(
        {
            "event_id": [f"m{i}" for i in range(len(log))],
            "user_id": [user for user, *_ in log],
            "event": [event for _, event, *_ in log],
            "event_time": at,
            "arrived_at": at,
            "revenue": [amount for *_, amount, _ in log],
            "currency": [code for *_, code in log],
        },
        schema=SCHEMA | {"currency": pl.String()},
    )


def converting(folder: Path, **changes: object) -> Definition:
    return definition_in(
        folder, **{"signals": with_signal("purchase", currency="currency"), "currencies": CURRENCIES} | changes
    )


def worth(definition: Definition) -> dict[str, float]:
    events = EventLog(definition).read()
    owner = [
        user
        for user, n in zip(events.users.to_list(), (events.starts[1:] - events.starts[:-1]).tolist(), strict=True)
        for _ in range(n)
    ]
    found: dict[str, float] = {}
    for user, value in zip(owner, events.values[:, 0].tolist(), strict=True):
        found[user] = found.get(user, 0.0) + value
    return found


def test_amounts_are_converted_by_the_given_rates(tmp_path: Path) -> None:
    put(tmp_path, "a", rows_of([("a", 10.0, "EUR"), ("b", 10.0, "USD"), ("c", 10.0, " gbp "), ("d", -4.0, "usd"),
                                ("e", None, None)]))  # fmt: skip
    assert worth(converting(tmp_path)) == {"a": 10.0, "b": 5.0, "c": 12.5, "d": -2.0, "e": 0.0}
    assert worth(definition_in(tmp_path)) == {"a": 10.0, "b": 10.0, "c": 10.0, "d": -4.0, "e": 0.0}


@pytest.mark.parametrize("code", ["XYZ", None, "  ", "n/a"])
def test_a_currency_without_a_rate_is_counted_or_refused_and_never_added_up(tmp_path: Path, code: str | None) -> None:
    some = [("a", 10.0, "EUR")] * 60 + [("b", 7.0, code)]
    put(tmp_path, "a", rows_of(some))
    store = EventStore.open(EventLog(converting(tmp_path)), Settings(home=tmp_path / "var"))
    assert store.findings["currency in column 'currency'"].rows == 1
    assert worth(converting(tmp_path))["b"] == 0.0
    put(tmp_path, "b", rows_of([("a", 10.0, "EUR")] * 28 + [("b", 7.0, code)] * 2))
    shown = repr(code if code == "XYZ" else "no currency")
    with pytest.raises(
        EventLogError, match=f"2 of 30 values .* of currency in column 'currency' have no rate: {shown} in b.parquet"
    ):
        EventStore.open(EventLog(converting(tmp_path)), Settings(home=tmp_path / "var2"))


def test_rows_without_an_amount_of_a_purchase_need_no_currency(tmp_path: Path) -> None:
    put(tmp_path, "a", rows_of([("a", 10.0, "EUR")]).with_columns(revenue=pl.lit(3.0)))
    put(tmp_path, "b", rows_of([("a", 0.0, None), ("b", None, None)]))
    store = EventStore.open(EventLog(converting(tmp_path)), Settings(home=tmp_path / "var"))
    found = store.findings["currency in column 'currency'"]
    assert (found.rows, found.of) == (0, 1)


def test_live_messages_are_converted_as_files_are(tmp_path: Path) -> None:
    bought = [("a", 10.0, "EUR"), ("b", 10.0, "usd"), ("c", -8.0, "GBP")]
    put(tmp_path, "a", rows_of(bought))
    definition = converting(tmp_path)
    log = EventLog(definition)
    columns, rows = LogColumns(definition, log.columns), rows_of(bought).to_dicts()
    sent = [
        Message(row["event_id"], row["user_id"], TRACK, row["event"], (at := to_instant(NOON) + i * HOUR), at,
                {key: row[key] for key in ("revenue", "currency") if row[key] is not None})
        for i, row in enumerate(rows)
    ]  # fmt: skip
    whole = log.read()
    live = columns.rows(sent).sorted().events(whole.ends, {})
    assert_same(live, type(whole)(**{f: getattr(whole, f) for f in live.__slots__} | {"counts": {}}))
    assert [columns.problem(message.body) for message in sent] == [""] * len(sent)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"revenue": 3.0, "currency": "XYZ"}, r"properties.currency is 'XYZ'.*rates for EUR, USD, GBP"),
        ({"revenue": 3.0}, r"properties.currency is not there, and signals.purchase.value is an amount"),
        ({"revenue": 3.0, "currency": 12}, r"properties.currency is 12"),
    ],
)
def test_a_message_whose_amount_nobody_can_convert_is_refused(
    tmp_path: Path, body: dict[str, object], says: str
) -> None:
    put(tmp_path, "a", rows_of([("a", 10.0, "EUR")]))
    definition = converting(tmp_path)
    columns = LogColumns(definition, EventLog(definition).columns)
    with pytest.raises(AssertionError, match=says):
        assert not columns.problem(body), columns.problem(body)
    assert columns.problem({}) == columns.problem({"plan": "pro"}) == ""


def test_other_rates_read_the_log_again(tmp_path: Path) -> None:
    put(tmp_path, "a", rows_of([("b", 10.0, "USD")]))
    settings, dearer = Settings(home=tmp_path / "var"), {"into": "EUR", "rates": {"USD": 2.0}}
    first, second = converting(tmp_path), converting(tmp_path, currencies=dearer)
    sums = [EventStore.open(EventLog(one), settings).read().values.sum() for one in (first, second, first)]
    assert sums == [5.0, 20.0, 5.0]
    assert feature_set(first).digest != feature_set(second).digest


def test_definitions_without_currencies_keep_their_digests() -> None:
    assert "currenc" not in definition_of().model_dump_json()
    assert "currenc" not in feature_set(definition_of()).meaning


@pytest.mark.parametrize(
    ("signal", "changes", "says"),
    [
        ({"currency": "currency"}, {}, "'currencies' does not say what its amounts become"),
        ({}, {"currencies": CURRENCIES}, "converts nothing"),
        ({"currency": "currency"}, {"currencies": {"into": "Euro"}}, "into"),
        ({"currency": "currency"}, {"currencies": {"into": "EUR", "rates": {"USD": 0}}}, "greater than 0"),
        ({"currency": "currency"}, {"currencies": {"into": "EUR", "rates": {"EUR": 2}}}, "for EUR, which is 1"),
    ],
)
def test_currencies_that_cannot_be_are_refused(
    signal: dict[str, object], changes: dict[str, object], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        definition_of(signals=with_signal("purchase", **signal), **changes)


def test_a_currency_needs_a_value_and_a_column_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"'currency'.*has no 'value'"):
        definition_of(signals=with_signal("visit", currency="currency"), currencies=CURRENCIES)
    put(tmp_path, "a", rows_of([("a", 1.0, "EUR")]))
    with pytest.raises(DefinitionError, match=r"signals.purchase.currency"):
        EventLog(converting(tmp_path, signals=with_signal("purchase", currency="ccy"))).read()
