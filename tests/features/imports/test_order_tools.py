"""Importers of tools that record orders and payments, each with the traps of its export."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from tests.features.imports.contract import ImporterContract, lines

NOTHING: Mapping[str, object] = MappingProxyType({})


class TestStripeEvents(ImporterContract):
    """Amounts in the smallest unit, which the yen has not; the test mode; a list instead of lines."""

    like = "stripe_events"
    expected = (
        {"user": "cus_1", "event": "charge.succeeded", "time": "2026-01-01T10:00:00Z", "id": "evt_1", "amount": 12.34,
         "currency": "usd"},
        {"user": "cus_1", "event": "invoice.paid", "time": "2026-01-01T10:00:01Z", "amount": 1500.0, "currency": "jpy"},
        {"user": "cus_2", "event": "customer.created", "time": "2026-01-01T10:00:02Z", "amount": None},
        {"user": "cus_2", "event": "customer.subscription.created", "status": "active", "plan_amount": 87.0,
         "plan_months": 3.0, "amount": None},
        {"user": "cus_1", "event": "charge.refunded", "amount": 4.0},
    )  # fmt: skip
    dropped: ClassVar = {"not an event": 1}
    refunds = ("charge.refunded",)

    def export(self, folder: Path) -> None:
        began = 1_767_261_600

        def event(number: int, kind: str, before: Mapping[str, object] = NOTHING, **of: object) -> dict[str, object]:
            return {"id": f"evt_{number}", "type": kind, "created": began + number - 1, "livemode": number != 6,
                    "data": {"object": of, **before}}  # fmt: skip

        rows = [
            event(1, "charge.succeeded", object="charge", customer="cus_1", amount=1234, currency="usd"),
            event(2, "invoice.paid", object="invoice", customer="cus_1", amount_paid=1500, currency="jpy"),
            event(3, "customer.created", object="customer", id="cus_2"),
            event(
                4,
                "customer.subscription.created",
                object="subscription",
                customer="cus_2",
                status="active",
                plan={"amount": 2900, "interval": "month", "interval_count": 3},
                quantity=3,
                currency="usd",
            ),
            event(
                5,
                "charge.refunded",
                {"previous_attributes": {"amount_refunded": 234}},
                object="charge",
                customer="cus_1",
                amount=1234,
                amount_captured=1234,
                amount_refunded=634,
                currency="usd",
            ),
            event(6, "charge.succeeded", object="charge", customer="cus_1", amount=1, currency="usd"),
        ]
        (folder / "events.json").write_text("[" + ",".join(lines([row]).strip() for row in rows) + "]")


class TestStripeCharges(ImporterContract):
    """What was refunded is taken off."""

    like = "stripe_charges"
    expected = (
        {"user": "cus_1", "event": "charge", "time": "2026-01-01T10:00:00Z", "id": "ch_1", "amount": 7.5},
        {"user": "a@b.c", "event": "charge failed", "time": "2026-01-01T11:00:00Z", "id": "ch_2", "amount": 3.0},
        {"user": "cus_1", "event": "charge canceled", "id": "ch_3", "amount": 0.0},
    )

    def export(self, folder: Path) -> None:
        (folder / "unified_payments.csv").write_text(
            "id,Created date (UTC),Amount,Amount Refunded,Currency,Customer ID,Customer Email,Status\n"
            "ch_1,2026-01-01 10:00:00,10.00,2.50,usd,cus_1,a@b.c,Paid\n"
            "ch_2,2026-01-01 11:00:00,3.00,0.00,usd,,a@b.c,Failed\n"
            "ch_3,2026-01-01 12:00:00,8.00,0.00,usd,cus_1,a@b.c,Canceled\n"
        )


class TestShopify(ImporterContract):
    """A row a line item; what the order has is on its first row alone; offsets without a colon; orders taken back."""

    like = "shopify"
    expected = (
        {"user": "ann@example.com", "event": "purchase", "time": "2026-01-01T15:00:00Z", "id": "101", "revenue": 30.0,
         "currency": "USD", "country": "US"},
        {"user": "bob@example.com", "event": "refunded order", "time": "2026-01-01T16:00:00Z", "id": "102",
         "revenue": 0.0},
        {"user": "ann@example.com", "event": "unpaid order", "time": "2026-01-02T15:00:00Z", "id": "103",
         "revenue": 5.0},
        {"user": "ann@example.com", "event": "cancelled order", "id": "104", "revenue": 0.0},
    )  # fmt: skip

    def export(self, folder: Path) -> None:
        (folder / "orders_export_1.csv").write_text(
            "Name,Email,Financial Status,Total,Refunded Amount,Currency,Created at,Cancelled at,Lineitem name,"
            "Shipping Country,Phone,Id,Discount Code,Source\n"
            "#1,ann@example.com,partially_refunded,40.00,10.00,USD,2026-01-01 10:00:00 -0500,,"
            '"Shoes, red",US,,101,,web\n'
            "#1,ann@example.com,,,,,2026-01-01 10:00:00 -0500,,Socks,,,,,\n"
            "#2,bob@example.com,refunded,5.00,5.00,USD,2026-01-01 11:00:00 -0500,,Hat,US,,102,,web\n"
            "#3,ann@example.com,pending,5.00,,USD,2026-01-02 10:00:00 -0500,,Hat,US,,103,,web\n"
            "#4,ann@example.com,paid,9.00,,USD,2026-01-02 10:30:00 -0500,2026-01-02 11:00:00 -0500,Hat,US,,104,,web\n"
        )


class TestWoocommerce(ImporterContract):
    """Semicolons, decimal commas, Latin-1, local times, guests who are customer 0."""

    like = "woocommerce"
    given: ClassVar = {"zone": "Europe/Berlin", "decimal": ",", "encoding": "latin-1"}
    expected = (
        {"user": "12", "event": "purchase", "time": "2026-01-01T09:00:00Z", "id": "1", "revenue": 1234.5},
        {
            "user": "jörg@example.de",
            "event": "refunded order",
            "time": "2026-07-01T08:00:00Z",
            "id": "2",
            "revenue": 0.0,
        },
        {"user": "12", "event": "cancelled order", "id": "3", "revenue": 0.0},
        {"user": "12", "event": "pending order", "id": "4", "revenue": 7.0},
    )

    def export(self, folder: Path) -> None:
        text = (
            "order_id;order_number;order_date;status;customer_user;billing_email;order_total;order_currency\n"
            "1;1001;2026-01-01 10:00:00;wc-completed;12;a@example.de;1.234,50;EUR\n"
            "2;1002;2026-07-01 10:00:00;refunded;0;Jörg@example.de;7,00;EUR\n"
            "3;1003;2026-07-02 10:00:00;wc-cancelled;12;a@example.de;7,00;EUR\n"
            "4;1004;2026-07-03 10:00:00;wc-pending;12;a@example.de;7,00;EUR\n"
        )
        (folder / "orders.csv").write_bytes(text.encode("latin-1"))
