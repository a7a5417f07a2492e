"""Clocks that were never set: few events, long before the others, are reported with their number and what to do."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.event_store.warnings import warnings_of
from features.open_log import open_log
from features.reading.clocks import BLOCK, blocks_of, strays
from features.settings import Settings
from features.system.progress import unseen
from features.time import DAY, to_instant
from tests.features.event_store.logs import NOON, definition_in, opened, put, random_rows

START, END = NOON, NOON + timedelta(days=21)


def with_early(*times: datetime, rows: int = 400) -> pl.DataFrame:
    few = random_rows(len(times), seed=2).with_columns(
        event=pl.lit("visit"), event_time=pl.Series(list(times)), arrived_at=pl.lit(NOON)
    )
    return pl.concat([random_rows(rows), few.with_columns(pl.col("event_time").cast(pl.Datetime("us", "UTC")))])


@pytest.mark.parametrize(
    "clocks",
    [
        [datetime(2000, 1, 1, tzinfo=UTC)],
        [datetime(2000, 1, 1, 0, 0, s, tzinfo=UTC) for s in range(5)],
        [datetime(2001, 1, 1, 8, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC)],
        [NOON - timedelta(days=400)],
        [NOON - timedelta(days=150)],  # of a log of three weeks
    ],
)
def test_a_few_events_long_before_the_others_are_reported(tmp_path: Path, clocks: list[datetime]) -> None:
    put(tmp_path, "0", with_early(*clocks))
    [answer] = warnings_of(opened(tmp_path))
    assert answer.startswith(f"{len(clocks)} of ")
    assert f"the earliest is at {min(clocks):%Y-%m-%d %H:%M:%S}" in answer
    fix = datetime.fromisoformat(answer.rsplit("events.begins: ", 1)[1].rstrip(".")).replace(tzinfo=UTC)
    assert max(clocks) < fix <= START


def test_what_is_said_mends_it(tmp_path: Path) -> None:
    put(tmp_path, "0", with_early(datetime(2000, 1, 1, tzinfo=UTC)))
    begins = warnings_of(opened(tmp_path))[0].rsplit("events.begins: ", 1)[1].rstrip(".")
    definition = definition_in(tmp_path)
    rules = definition.events.model_copy(update={"begins": datetime.fromisoformat(begins)})
    mended = definition.model_copy(update={"events": rules})
    log = open_log(mended, Settings(home=tmp_path / "var"), ends=None, steps=unseen)
    assert log.first >= to_instant(START)


@pytest.mark.parametrize(
    "early",
    [
        [],
        [NOON - timedelta(days=20)],  # a quiet start
        [NOON - timedelta(days=400 + d / 10) for d in range(200)],  # too many: a season, a shop that closed
    ],
)
def test_a_log_as_it_is_has_no_warning(tmp_path: Path, early: list[datetime]) -> None:
    put(tmp_path, "0", with_early(*early))
    assert warnings_of(opened(tmp_path)) == []


def test_events_after_the_end_do_not_make_the_rest_longer() -> None:
    blocks = {100: 2, 200: 300, 201: 300, 900: 5}
    answer = strays(blocks, 100 * BLOCK + 7 * DAY, 202 * BLOCK)
    assert answer.startswith("2 of 602 events (0.3%)")
    assert strays({200: 300, 201: 300, 900: 5}, 200 * BLOCK, 202 * BLOCK) == ""


def test_blocks_before_1970_and_of_nothing() -> None:
    assert blocks_of(np.array([-1, 0, BLOCK, BLOCK + 1])) == {-1: 1, 0: 1, 1: 2}
    assert strays({}, 0, 1) == ""
