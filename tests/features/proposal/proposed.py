"""Definitions proposed for variations of the shop's log."""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from features.definition import load_definition
from features.proposal.draft import Draft, draft
from features.proposal.given import Given
from features.reading.source import EventLog
from tests.features.proposal.shop import BEGAN, shop

NOTHING = Given(None, {}, None, "utf-8")


def proposed(folder: Path, frame: pl.DataFrame, given: Given = NOTHING, name: str = "log.parquet") -> Draft:
    if name.endswith(".csv"):
        frame.write_csv(folder / name)
    else:
        frame.write_parquet(folder / name)
    return draft("mine", name, folder, given)


def loads(found: Draft, folder: Path) -> EventLog:
    """The log as the proposed definition reads it; all signals fit it."""
    (folder / "mine.yaml").write_text(found.text)
    return EventLog(load_definition(folder / "mine.yaml"))


def with_events(*events: tuple[str, str, datetime], **more: object) -> pl.DataFrame:
    """The shop's log with further events of ``user, name, time``."""
    users, names, times = zip(*events, strict=True)
    columns = {"customer_id": users, "event_name": names, "occurred_at": times}
    further = pl.DataFrame(columns).with_columns(pl.col("occurred_at").cast(shop().schema["occurred_at"]))
    return pl.concat([shop(), further.with_columns(**{k: pl.lit(v) for k, v in more.items()})], how="diagonal")


def some(name: str, every: int = 1, users: int = 100) -> list[tuple[str, str, datetime]]:
    return [(f"c{u}", name, BEGAN + timedelta(days=u % 90 + d)) for u in range(users) for d in range(0, 30, every)]
