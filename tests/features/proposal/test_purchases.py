"""Purchases in a proposed definition: what they are worth, what takes them back, and what counts once."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.features.proposal.proposed import loads, proposed, some, with_events
from tests.features.proposal.shop import shop


def test_where_there_are_purchases_only_they_are_the_sign_of_life(tmp_path: Path) -> None:
    found = proposed(tmp_path, shop().filter(pl.col("event_name") == "Order Completed"))
    assert loads(found, tmp_path).definition.activity == "purchase"


def test_purchases_are_asked_about_over_the_middle_gap_between_two_of_them(tmp_path: Path) -> None:
    orders = shop().filter(pl.col("event_name") == "Order Completed")
    days = orders.select("customer_id", pl.col("occurred_at").dt.date()).unique().sort("customer_id", "occurred_at")
    between = days.select(pl.col("occurred_at").diff().over("customer_id").dt.total_days()).drop_nulls().to_series()
    middle = between.quantile(0.5, "higher")
    assert middle is not None
    assert middle > 7
    assert proposed(tmp_path, shop()).horizons["purchase"].days >= min(middle, 30)


def test_refunds_in_the_column_of_amounts_take_value_away_from_purchases(tmp_path: Path) -> None:
    for sign in (1.0, -1.0):
        frame = with_events(*some("order_refunded", 10), total_price=12.5).with_columns(
            total_price=pl.when(pl.col("event_name") == "order_refunded")
            .then(sign * pl.col("total_price"))
            .otherwise("total_price")
        )
        found = proposed(tmp_path, frame)
        definition = loads(found, tmp_path).definition
        assert str(definition.signals["purchase"].refund) == "event_name = 'order_refunded'"
        assert str(definition.signals["order_refunded"].value) == "ABS(total_price)"


def test_rows_that_are_lines_of_orders_are_proposed_as_such(tmp_path: Path) -> None:
    """Each order has three rows; an order's number that is another in each row, or in few of them, is none."""
    bought = pl.col("event_name") == "Order Completed"
    one = shop().with_row_index("n").with_columns(order_no=pl.when(bought).then(pl.format("o{}", "n"))).drop("n")
    three = pl.concat([one, *[one.filter(bought)] * 2]).with_columns(event_id=pl.int_range(pl.len()).cast(pl.String))
    found = proposed(tmp_path, three)
    assert str(loads(found, tmp_path).definition.signals["purchase"].order) == "order_no"
    orders = one.filter(bought).height
    assert f"# {3 * orders:,} rows are lines of {orders:,} orders" in found.text
    assert loads(proposed(tmp_path, one), tmp_path).definition.signals["purchase"].order is None
    few = three.with_columns(order_no=pl.when(pl.int_range(pl.len()) % 4 == 0).then("order_no"))
    assert loads(proposed(tmp_path, few), tmp_path).definition.signals["purchase"].order is None


def test_amounts_that_are_text_are_read_as_numbers(tmp_path: Path) -> None:
    found = proposed(tmp_path, shop().with_columns(pl.col("total_price").cast(pl.String)))
    events = loads(found, tmp_path).read()
    assert float(events.values.sum()) > 0
    assert found.signals.worth == "total_price"


def test_payments_that_the_log_has_again_under_another_name_count_once(tmp_path: Path) -> None:
    """An order, the charge and the invoice of the same money; an invoice made out without an amount is no purchase."""
    frame = shop()
    ordered = frame.filter(pl.col("event_name") == "Order Completed")

    def as_well(name: str, seconds: int, **columns: pl.Expr) -> pl.DataFrame:
        later = pl.col("occurred_at") + timedelta(seconds=seconds)
        return ordered.with_columns(
            pl.lit(name).alias("event_name"), later.alias("occurred_at"), (name + pl.col("event_id")).alias("event_id"),
            **columns,
        )  # fmt: skip

    gifts = as_well("gift_card_purchase", 30, total_price=pl.col("total_price") + 1).head(40)
    frame = pl.concat([
        frame, as_well("charge.succeeded", 2), as_well("invoice.paid", 20).head(60), gifts,
        as_well("invoice.finalized", 1, total_price=pl.lit(0.0)),
    ]).sort("occurred_at")  # fmt: skip
    found = proposed(tmp_path, frame)
    kept = {kind.name for kind in found.signals.purchase}
    assert len(kept & {"Order Completed", "charge.succeeded"}) == 1
    assert kept - {"Order Completed", "charge.succeeded"} == {"gift_card_purchase"}
    assert "payments that are in purchase already" in found.text
    log = loads(found, tmp_path)
    bought = log.read().of_signal(list(log.definition.signals).index("purchase"))
    assert len(bought) == frame.filter(pl.col("event_name").is_in(list(kept))).height


@pytest.mark.parametrize("lines", [1, 3])
def test_a_large_order_is_one_that_a_fifth_of_the_buyers_reach(tmp_path: Path, lines: int) -> None:
    """Also where each row is a line of an order, and where the log is too short for the packs' own window."""
    frame = shop(days=100).filter(pl.col("event_name") != "Sign Up")
    bought = pl.col("event_name") == "Order Completed"
    frame = frame.with_columns(pl.col("total_price") * 40, order_id=pl.when(bought).then("event_id"))
    frame = pl.concat([frame, *[frame.filter(bought)] * (lines - 1)]).drop("event_id").sort("occurred_at")
    definition = loads(proposed(tmp_path, frame), tmp_path).definition
    limit = float(str(definition.packs["commerce"].settings["high_order_value"]))
    averages = frame.filter(bought).group_by("customer_id").agg(
        pl.col("total_price").sum() / pl.col("order_id").n_unique()
    )  # fmt: skip
    reached = (averages["total_price"] >= limit).mean()
    assert isinstance(reached, float)
    assert 0.15 < reached < 0.25
    assert {"high_order_value", "repeat_buyer", "buyers_leaving"} <= set(definition.segments)
    assert not {one.entry for one in definition.left_out} & {"repeat_buyer", "buyers_leaving"}


def test_nobody_looks_around_where_purchases_are_the_sign_of_life(tmp_path: Path) -> None:
    found = proposed(tmp_path, shop().filter(pl.col("event_name") == "Order Completed"))
    assert "first_purchase_due" not in loads(found, tmp_path).definition.segments
    assert "first_purchase_due" in loads(proposed(tmp_path, shop()), tmp_path).definition.segments
