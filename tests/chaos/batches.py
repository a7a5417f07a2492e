"""Batches of events for the chaos tests."""

from datetime import UTC, datetime

import polars as pl

from features.events.write import part_files
from features.time import to_instant
from serving.database.log.live_log import LiveLog
from tests.conftest import World
from tests.serving.ingest.scenes import message

#: the log of the demo is complete through here
ENDS = to_instant(datetime(2026, 3, 1, tzinfo=UTC))


def batch_of(world: World) -> str:
    """The newest batch as text: to the last bit, and NaN is NaN."""
    newest = max(world.settings.scores(world.definition.name).glob("scores-*.parquet"))
    return pl.read_parquet(part_files(newest)).sort("user_id").write_json()


def fill(world: World, count: int = 60) -> set[str]:
    """Put messages into the live log, as a service would; returns their ids."""
    live = LiveLog.open(world.definition, world.settings)
    try:
        sent = [
            message(i, f"u{i % 20:07d}", "purchase", ENDS + (i + 1) * 60_000_000, revenue=i / 64) for i in range(count)
        ]
        assert set(live.append(sent)) == {"accepted"}
        return {m.id for m in sent}
    finally:
        live.close()
