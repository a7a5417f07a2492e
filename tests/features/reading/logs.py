"""Small logs in a folder, and their definitions."""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from features.definition import Definition
from features.reading.source import EventLog
from tests.worlds import DEFINITION

NOON = datetime(2025, 3, 1, 12)
COLUMNS = {"user": "user_id", "event": "event", "time": "event_time", "arrived": "arrived_at", "id": "event_id"}


def log(**columns: object) -> pl.DataFrame:
    """Two good rows, to be spoilt."""
    rows: dict[str, object] = {
        "event_id": ["1", "2"],
        "user_id": ["a", "b"],
        "event": ["visit", "purchase"],
        "event_time": [NOON, NOON + timedelta(days=1)],
        "arrived_at": [NOON, NOON + timedelta(days=2)],
        "revenue": [None, 12.5],
    }
    return pl.DataFrame(rows | columns)


def open_log(folder: Path, frame: pl.DataFrame, **events: object) -> EventLog:
    frame.write_parquet(folder / "events.parquet")
    return EventLog(definition(folder, **events))


def definition(folder: Path, **events: object) -> Definition:
    known = {"path": str(folder / "events.parquet"), "columns": COLUMNS, "ends": "2025-06-01T00:00:00Z"}
    return Definition.model_validate(DEFINITION | {"events": known | events})


def written_as(kind: str, frame: pl.DataFrame, folder: Path) -> str:
    path = folder / f"computed.{kind}"
    frame.write_parquet(path) if kind == "parquet" else frame.write_csv(path)
    return str(path)
