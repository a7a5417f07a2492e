"""A proposed definition: right about columns and events, loadable as it is, and open about what it is not sure of."""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from features.definition import load_definition
from features.errors import EventLogError
from features.proposal.draft import Draft, draft
from features.proposal.given import Given
from features.time import DAY
from tests.features.proposal.proposed import NOTHING, loads, proposed, some, with_events
from tests.features.proposal.shop import BEGAN, shop


def test_columns_and_events_are_recognised(tmp_path: Path) -> None:
    found = proposed(tmp_path, shop())
    assert {key: guess.column for key, guess in found.columns.guesses.items()} == {
        "user": "customer_id", "event": "event_name", "time": "occurred_at", "id": "event_id"
    }  # fmt: skip
    signals = found.signals
    assert {kind.name for kind in signals.activity} == {"Sign Up", "page_view", "add_to_cart", "Order Completed"}
    assert [kind.name for kind in signals.purchase] == ["Order Completed"]
    assert [kind.name for kind in signals.leave] == ["account_closed"]
    assert [kind.name for kind in signals.cart] == ["add_to_cart"]
    assert signals.worth == "total_price"


def test_the_definition_loads_as_it_is_and_reads_the_log(tmp_path: Path) -> None:
    frame = shop()
    found = proposed(tmp_path, frame)
    events = loads(found, tmp_path).read()
    assert len(events.users) == 150
    definition = load_definition(tmp_path / "mine.yaml")
    assert {"churn", "purchase", "uninstall"} <= set(definition.outcomes)
    assert set(definition.amounts) == {"spend"}
    assert definition.activity == "visit"


def test_horizons_are_of_the_logs_own_rhythm(tmp_path: Path) -> None:
    found = proposed(tmp_path, shop())
    gaps = shop().filter(pl.col("event_name") != "push_sent", pl.col("event_name") != "account_closed")
    days = gaps.select("customer_id", pl.col("occurred_at").dt.date()).unique().sort("customer_id", "occurred_at")
    between = days.select(pl.col("occurred_at").diff().over("customer_id").dt.total_days()).drop_nulls().to_series()
    assert found.rhythm.usual_gap == between.quantile(0.95, "higher")
    churn = found.horizons["churn"]
    assert churn.days == next(n for n in (7, 14, 30) if n >= found.rhythm.usual_gap)
    assert churn.share is not None
    assert 0.05 < churn.share < 0.6
    assert all(window <= 120 for window in found.rhythm.windows)


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_times_that_are_numbers_have_their_unit_found(tmp_path: Path, unit: str) -> None:
    by = {"s": 1_000_000, "ms": 1_000, "us": 1}[unit]
    frame = shop().with_columns(pl.col("occurred_at").dt.epoch("us") // by)
    found = proposed(tmp_path, frame)
    assert found.columns.unit == unit
    assert len(loads(found, tmp_path).read().users) == 150


def test_a_csv_is_read_as_it_is_written(tmp_path: Path) -> None:
    frame = shop().with_columns(pl.col("occurred_at").dt.strftime("%Y-%m-%d %H:%M:%S"))
    found = proposed(tmp_path, frame, name="log.csv")
    assert found.signals.worth == "total_price"
    assert len(loads(found, tmp_path).read().users) == 150


def test_dates_that_can_be_read_in_two_ways_are_not_guessed(tmp_path: Path) -> None:
    frame = shop().filter(pl.col("occurred_at").dt.day() <= 12)
    american = frame.with_columns(pl.col("occurred_at").dt.strftime("%m/%d/%Y"))
    with pytest.raises(EventLogError, match="no column holds a time") as caught:
        proposed(tmp_path, american, name="log.csv")
    assert "%m/%d/%Y" in caught.value.fix
    assert "%d/%m/%Y" in caught.value.fix
    given = Given(None, {"time": "occurred_at"}, "%m/%d/%Y", "utf-8")
    found = draft("mine", "log.csv", tmp_path, given)
    assert found.rhythm.daily
    assert len(loads(found, tmp_path).read().users) == frame["customer_id"].n_unique()


@pytest.mark.parametrize(
    ("dropped", "message"), [("customer_id", "who did it"), ("event_name", "what was done"), ("occurred_at", "a time")]
)
def test_what_is_missing_is_named_with_what_there_is(tmp_path: Path, dropped: str, message: str) -> None:
    with pytest.raises(EventLogError, match=message) as caught:
        proposed(tmp_path, shop().drop(dropped))
    assert "note" in str(caught.value)


def test_what_is_given_is_taken_and_must_be_there(tmp_path: Path) -> None:
    frame = shop().with_columns(pl.lit("guest").alias("user_id"))
    found = proposed(tmp_path, frame, Given(None, {"user": "customer_id"}, None, "utf-8"))
    assert found.columns["user"] == "customer_id"
    with pytest.raises(EventLogError, match="no such column"):
        proposed(tmp_path, frame, Given(None, {"user": "who"}, None, "utf-8"))


def test_a_second_candidate_is_named(tmp_path: Path) -> None:
    frame = shop().with_columns(pl.col("customer_id").alias("client_id"))
    guess = proposed(tmp_path, frame).columns.guesses["user"]
    assert guess.column == "customer_id"
    frame = frame.rename({"customer_id": "member_id"})
    guess = proposed(tmp_path, frame).columns.guesses["user"]
    assert not guess.sure
    assert "client_id" in guess.why or "member_id" in guess.why


def test_a_second_column_that_fills_the_first_is_named(tmp_path: Path) -> None:
    number = pl.int_range(pl.len())
    frame = shop().with_columns(
        user_id=pl.when(number % 3 > 0).then(pl.col("customer_id")), anonymous_id=pl.col("customer_id") + "a"
    )
    guess = proposed(tmp_path, frame.drop("customer_id")).columns.guesses["user"]
    assert guess.column == "user_id"
    assert "33% of rows have none: 'COALESCE(user_id, anonymous_id)' would take the other there" in guess.why
    both = Given(None, {"user": "COALESCE(user_id, anonymous_id)"}, None, "utf-8")
    for name in ("log.parquet", "log.csv"):
        found = proposed(tmp_path, frame.drop("customer_id"), both, name)
        assert loads(found, tmp_path).read().counts["no user"] == 0
    with pytest.raises(EventLogError, match="uses 'visitor', which the log does not have"):
        proposed(tmp_path, frame, Given(None, {"user": "COALESCE(user_id, visitor)"}, None, "utf-8"))


def test_names_that_need_quotes_are_quoted(tmp_path: Path) -> None:
    frame = shop().rename({"event_name": "Event Name", "total_price": "Total Price", "customer_id": "Customer ID"})
    frame = frame.with_columns(pl.col("Event Name").str.replace("page_view", 'page\'s "view"'))
    assert len(loads(proposed(tmp_path, frame), tmp_path).read().users) == 150


@pytest.mark.parametrize("after", [timedelta(days=60), timedelta(days=27_000)])
def test_a_few_rows_long_after_the_others_are_not_the_logs_end(tmp_path: Path, after: timedelta) -> None:
    last = shop()["occurred_at"].max()
    assert isinstance(last, datetime)
    whole = proposed(tmp_path, shop())
    late = [(f"c{n}", "page_view", last + after + timedelta(days=n)) for n in range(3)]
    found = proposed(tmp_path, with_events(*late))
    assert found.rhythm.ends - whole.rhythm.ends <= 1
    assert whole.rhythm.ends - found.rhythm.ends < 14
    assert "rows after it are few a week, as those of clocks that go wrong" in found.text
    assert found.horizons["churn"].share == pytest.approx(whole.horizons["churn"].share, abs=0.1)


def test_what_is_done_to_users_is_no_sign_of_life_and_what_they_do_of_it_is(tmp_path: Path) -> None:
    frame = with_events(
        *some("campaign", 5), *some("newsletter_sent", 5), *some("email_opened", 5), *some("push click")
    )
    found = proposed(tmp_path, frame)
    alive = {kind.name for kind in found.signals.activity}
    assert {"email_opened", "push click"} <= alive
    assert not {"campaign", "newsletter_sent", "push_sent"} & alive


def test_what_is_taken_back_is_a_signal_and_no_sign_of_life(tmp_path: Path) -> None:
    found = proposed(tmp_path, with_events(*some("order_refunded", 10), *some("item_returned", 10)))
    assert {kind.name for kind in found.signals.undone} == {"order_refunded", "item_returned"}
    definition = loads(found, tmp_path).definition
    assert {"order_refunded", "item_returned"} <= set(definition.signals)
    assert "refund" not in str(definition.signals["visit"].where)


def test_a_number_that_only_some_events_have_is_their_value(tmp_path: Path) -> None:
    found = proposed(tmp_path, with_events(*some("watch", 5), minutes=12.5, lesson_id=7))
    [watch] = [kind for kind in found.signals.every if kind.name == "watch"]
    assert (watch.worth, watch.amount) == (None, None), "one value says nothing"
    frame = with_events(*some("watch", 5)).with_row_index("n")
    watched = pl.col("event_name") == "watch"
    frame = frame.with_columns(
        minutes=pl.when(watched).then(pl.col("n") % 50 + 1.0), lesson_id=pl.when(watched).then(pl.col("n") % 50 + 1)
    ).drop("n")
    found = proposed(tmp_path, frame.select(*shop().columns, "lesson_id", "minutes"))
    definition = loads(found, tmp_path).definition
    assert str(definition.signals["watch"].value) == "minutes"


def test_packs_are_proposed_where_the_log_has_what_they_are_about(tmp_path: Path) -> None:
    found = proposed(
        tmp_path, with_events(*some("remove_from_cart", 10), *some("trial_started", 30), *some("install", 30))
    )
    assert "commerce: {roles: {order: purchase, removed: remove_from_cart}" in found.text
    assert "onboarding: {roles: {sign_up: sign_up}}" in found.text
    assert "saas: {roles: {trial: trial_started, payment: purchase}}" in found.text
    loads(found, tmp_path)


def test_several_logs_are_one(tmp_path: Path) -> None:
    frame = shop()
    frame[:1000].write_parquet(tmp_path / "a.parquet")
    frame[1000:].write_parquet(tmp_path / "b.parquet")
    found = draft("mine", ["a.parquet", "b.parquet"], tmp_path, NOTHING)
    assert len(loads(found, tmp_path).read().users) == 150


def test_ids_that_were_rounded_are_refused(tmp_path: Path) -> None:
    frame = shop().with_columns(pl.col("customer_id").str.slice(1).cast(pl.Float64) + 2.0**53)
    with pytest.raises(EventLogError, match="of user in column 'customer_id' are numbers so large") as caught:
        proposed(tmp_path, frame)
    assert "9007199254740992.0" in str(caught.value)
    proposed(tmp_path, frame.with_columns(pl.col("customer_id") - 2.0**53))


def test_an_empty_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EventLogError):
        proposed(tmp_path, shop().clear())


@pytest.mark.parametrize("path", ["*.parquet", "a: b #1/log.parquet", "logs/[ab]*.parquet"])
def test_any_path_is_written_as_it_is(tmp_path: Path, path: str) -> None:
    for folder in ("a: b #1", "logs"):
        (tmp_path / folder).mkdir()
    for file in ("log.parquet", "a: b #1/log.parquet", "logs/a.parquet"):
        shop(users=30).write_parquet(tmp_path / file)
    found = draft("mine", path, tmp_path, NOTHING)
    assert load_again(found, tmp_path) == path


def load_again(found: Draft, folder: Path) -> str | list[str]:
    (folder / "mine.yaml").write_text(found.text)
    return load_definition(folder / "mine.yaml").events.path


def test_a_short_log_has_a_short_warm_up(tmp_path: Path) -> None:
    short = loads(proposed(tmp_path, shop().filter(pl.col("occurred_at") < BEGAN + timedelta(days=40))), tmp_path)
    assert short.definition.snapshots.warm_up == 9 * DAY
    assert "warm_up" not in proposed(tmp_path, shop()).text
