"""The log of a small shop, in columns of its own."""

import random
from datetime import UTC, datetime, timedelta

import polars as pl

BEGAN = datetime(2025, 1, 1, tzinfo=UTC)


def shop(users: int = 150, days: int = 240, seed: int = 1) -> pl.DataFrame:
    """A shop: users come every few days for a while, buy now and then, and some close their account."""
    draw = random.Random(seed)  # noqa: S311 - a log, no secret
    rows: list[dict[str, object]] = []

    def add(user: int, name: str, at: float, revenue: float | None = None) -> None:
        rows.append({"customer_id": f"c{user}", "event_name": name, "occurred_at": BEGAN + timedelta(days=at),
                     "total_price": revenue, "event_id": f"e{len(rows)}", "note": "x"})  # fmt: skip

    for user in range(users):
        at, until = draw.uniform(0, days / 2), draw.uniform(days / 4, days)
        add(user, "Sign Up", at)
        while at < until:
            add(user, "page_view", at)
            if draw.random() < 0.2:
                add(user, "add_to_cart", at + 0.01)
                add(user, "Order Completed", at + 0.02, draw.uniform(5, 50))
            if draw.random() < 0.3:
                add(user, "push_sent", at + 0.3)
            at += draw.expovariate(1 / 4)
        if draw.random() < 0.3:
            add(user, "account_closed", at)
    return pl.DataFrame(rows).sort("occurred_at")
