"""Logs of many small files, and the store they are taken into."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from features.definition import Definition
from features.event_store.store import EventStore
from features.events.events import Events
from features.reading.source import EventLog
from features.settings import Settings
from tests.worlds import DEFINITION

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
ENDS = datetime(2025, 6, 1, tzinfo=UTC)
COLUMNS = {"user": "user_id", "event": "event", "time": "event_time", "arrived": "arrived_at", "id": "event_id"}
SCHEMA = {
    "event_id": pl.String(), "user_id": pl.String(), "event": pl.String(), "event_time": pl.Datetime("us", "UTC"),
    "arrived_at": pl.Datetime("us", "UTC"), "revenue": pl.Float64(),
}  # fmt: skip


def definition_in(folder: Path, **changes: object) -> Definition:
    events = {"path": str(folder / "log" / "*.parquet"), "columns": COLUMNS, "ends": ENDS.isoformat()}
    return Definition.model_validate(DEFINITION | {"events": events} | changes)


def random_rows(rows: int, *, users: int = 60, seed: int = 1, start: datetime = NOON) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    times = [start + timedelta(seconds=int(s)) for s in rng.integers(0, 20 * 86_400, rows)]
    events = rng.choice(["visit", "cart_add", "purchase", "push"], rows, p=[0.7, 0.1, 0.1, 0.1])
    return pl.DataFrame(
        {
            "event_id": [f"{seed}-{i}" for i in range(rows)],
            "user_id": [f"u{u:03d}" for u in rng.integers(0, users, rows)],
            "event": events,
            "event_time": times,
            "arrived_at": [t + timedelta(hours=int(h)) for t, h in zip(times, rng.integers(0, 50, rows), strict=True)],
            "revenue": np.where(events == "purchase", np.round(rng.gamma(2, 10, rows), 2), 0.0),
        },
        schema=SCHEMA,
    )


def put(folder: Path, name: str, rows: pl.DataFrame) -> Path:
    file = folder / "log" / f"{name}.parquet"
    file.parent.mkdir(exist_ok=True)
    rows.write_parquet(file)
    return file


def opened(folder: Path) -> EventStore:
    return EventStore.open(EventLog(definition_in(folder)), Settings(home=folder / "var"))


def assert_same(found: Events, expected: Events) -> None:
    assert found.users.to_list() == expected.users.to_list()
    for name in ("starts", "t", "visible", "mask", "values"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert found.counts == expected.counts


def files_under(folder: Path) -> list[Path]:
    """All files under a folder another process may be writing in: `os.walk` takes folders that vanish as empty."""
    return [Path(root) / name for root, _, names in os.walk(folder) for name in names]


def parts(folder: Path) -> set[str]:
    return {file.name for file in files_under(folder / "var") if file.match("bucket-*.parquet")}
