"""A shop whose customers are those of BG/NBD, as a log and its definition."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import yaml

START, DAYS, CUSTOMERS = datetime(2025, 1, 1, tzinfo=UTC), 420, 1_500

#: r, alpha (days), a, b
TRUE = (0.9, 25.0, 0.8, 3.5)

OUTCOMES: dict[str, object] = {
    "purchase": {"will": "purchase", "within": "30d", "among": "purchase_count_total > 0"},
}


def events(seed: int = 1, customers: int = CUSTOMERS) -> pl.DataFrame:
    """Purchases at rates drawn from a Gamma; after each a customer drops out with a chance drawn from a Beta."""
    rng, (r, alpha, a, b) = np.random.default_rng(seed), TRUE
    rows = []
    for customer in range(customers):
        at, rate, drop = rng.uniform(0, DAYS - 1), rng.gamma(r, 1 / alpha), rng.beta(a, b)
        rows.append((f"c{customer}", at))
        while (at := at + rng.exponential(1 / rate)) < DAYS:
            rows.append((f"c{customer}", at))
            if rng.random() < drop:
                break
    times = [START + timedelta(days=at) for _, at in rows]
    return pl.DataFrame({"user": [user for user, _ in rows], "event": "purchase", "time": times}).with_columns(
        pl.col("time").cast(pl.Datetime("us", "UTC"))
    )


def write(folder: Path, **changes: object) -> Path:
    """Write the log and its definition, some of whose keys are replaced.

    Returns:
        The definition's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    events().write_parquet(folder / "events.parquet")
    definition = {
        "name": "bg-nbd-shop",
        "events": {
            "path": "events.parquet", "columns": {"user": "user", "event": "event", "time": "time"},
            "ends": (START + timedelta(days=DAYS)).isoformat(),
        },
        "signals": {"purchase": {"where": "event = 'purchase'", "activity": True}},
        "windows": [30, 90],
        "outcomes": OUTCOMES,
        "snapshots": {"stride": "30d", "count": 8},
        "gate": {"draws": 200},
    }  # fmt: skip
    path = folder / "propensity.yaml"
    path.write_text(yaml.safe_dump(definition | changes, sort_keys=False))
    return path
