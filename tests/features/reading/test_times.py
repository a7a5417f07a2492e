"""Times in text are read as the definition states, and never guessed."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from features.definition import load_definition
from features.errors import EventLogError
from features.reading.source import EventLog
from features.time import to_instant
from tests.conftest import ROOT
from tests.features.event_store.csv_logs import at, csv, opened, rules


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("%m/%d/%Y", "no other known format: say events.time_format: '%m/%d/%Y'"),
        ("%d.%m.%Y", "no other known format: say events.time_format: '%d.%m.%Y'"),
        ("%d/%m/%y %H:%M", "no other known format: say events.time_format: '%d/%m/%y %H:%M'"),
        ("%m/%d/%Y %I:%M %p", "no other known format: say events.time_format: '%m/%d/%Y %I:%M %p'"),
        ("%Y%m%d", "no other known format: say events.time_format: '%Y%m%d'"),
        ("%a, %d %b %Y %H:%M:%S GMT", "say events.time_format: '%a, %d %b %Y %H:%M:%S %Z'"),
        ("%s", "these are numbers: say events.time_unit: s"),
    ],
)
def test_what_is_not_iso_is_refused_with_the_line_that_reads_it(tmp_path: Path, written: str, advice: str) -> None:
    days = [datetime(2026, 1 + i // 28, 1 + i % 28, 9, 30, tzinfo=UTC) for i in range(56)]
    for i in range(0, 56, 7):  # one file a week, so that some have no day above 12
        csv(tmp_path, f"{i:02d}.csv", [f'"{day.strftime(written)}"' for day in days[i : i + 7]])
    with pytest.raises(EventLogError) as error:
        opened(rules(tmp_path), tmp_path)
    assert error.value.code == "unreadable"
    assert "56 of 56 values (100.0%) of time in column 'time' cannot be read: " in error.value.message
    assert f"{days[0].strftime(written)!r} in 00.csv" in error.value.message
    assert advice in error.value.fix
    answer = advice.split("say ")[1].split(": ", 1)
    stated = rules(tmp_path, **{answer[0].removeprefix("events."): answer[1].strip("'")})
    whole_days = written in ("%m/%d/%Y", "%d.%m.%Y", "%Y%m%d")
    expected = [to_instant(day.replace(hour=0, minute=0) if whole_days else day) for day in days]
    assert sorted(opened(stated, tmp_path).read().t.tolist()) == expected


def test_dates_that_can_be_read_in_two_ways_are_never_guessed(tmp_path: Path) -> None:
    csv(tmp_path, "a.csv", [f"{m:02d}/{d:02d}/2026" for m in range(1, 6) for d in range(1, 13)])
    with pytest.raises(
        EventLogError, match=r"more than one format; say which one is meant: .*%m/%d/%Y.* or .*%d/%m/%Y"
    ):
        EventLog(rules(tmp_path)).read()


def test_case_16_american_dates_in_daily_files(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests" / "cases" / "16-us-dates-in-daily-files", tmp_path / "case")
    file = tmp_path / "case" / "propensity.yaml"
    with pytest.raises(EventLogError, match=r"no other known format: say events.time_format: '%m/%d/%Y'"):
        opened(load_definition(file), tmp_path)
    file.write_text(file.read_text().replace("events:\n", "events:\n  time_format: '%m/%d/%Y'\n"))
    store = opened(load_definition(file), tmp_path)
    events = store.read()
    assert len(events.t) == store.kept == store.counts["rows"] == 1_616
    assert (events.t.min(), events.t.max()) == (at(2025, 12, 1), at(2026, 2, 26))
    assert events.t[events.starts[1] - 1] == at(2026, 2, 26), "the last event of s00"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-03 12:33:44 -0500", at(2026, 1, 3, 17, 33, 44)),
        ("2026-01-03 12:33:44 -05:00", at(2026, 1, 3, 17, 33, 44)),
        ("2026-01-03 12:33:44-0500", at(2026, 1, 3, 17, 33, 44)),
        ("2026-01-03 12:33:44 UTC", at(2026, 1, 3, 12, 33, 44)),
        ("2026-01-03T12:33:44Z", at(2026, 1, 3, 12, 33, 44)),
        ("2026-01-03T12:33:44.5+02:00", at(2026, 1, 3, 10, 33, 44) + 500_000),
        ("2026-01-03", at(2026, 1, 3)),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_iso_times_with_and_without_an_offset(tmp_path: Path, text: str, instant: int, kind: str) -> None:
    csv(tmp_path, "a.csv", [text] * 3)
    if kind == "parquet":
        pl.read_csv(tmp_path / "a.csv", schema_overrides={"revenue": pl.Float64}).write_parquet(tmp_path / "a.parquet")
    assert set(EventLog(rules(tmp_path, f"*.{kind}")).read().t.tolist()) == {instant}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.String])
def test_numbers_are_times_of_the_stated_unit(tmp_path: Path, unit: str, dtype: type[pl.DataType]) -> None:
    size = {"s": 1e-6, "ms": 1e-3, "us": 1, "ns": 1000}[unit]
    times = pl.Series([int(at(2026, 1, 3, 12) * size)] * 3).cast(dtype)
    frame = pl.DataFrame({"user_id": ["a", "b", "c"], "event": "purchase", "time": times, "revenue": 1.0})
    frame.write_parquet(tmp_path / "a.parquet")
    assert set(EventLog(rules(tmp_path, "a.parquet", time_unit=unit)).read().t.tolist()) == {at(2026, 1, 3, 12)}
    if dtype != pl.String:
        with pytest.raises(EventLogError, match=r"does not say a time.*events.time_unit"):
            EventLog(rules(tmp_path, "a.parquet"))


def test_several_formats_are_tried_in_order(tmp_path: Path) -> None:
    csv(tmp_path, "a.csv", ["28.02.2026 12:00", "2026-02-28T12:00:00Z"] * 20)
    with pytest.raises(EventLogError, match=r"20 of 40 values \(50.0%\)") as error:
        EventLog(rules(tmp_path)).read()
    assert "say events.time_format: [iso, '%d.%m.%Y %H:%M']" in error.value.fix
    stated = rules(tmp_path, time_format=["iso", "%d.%m.%Y %H:%M"])
    assert set(EventLog(stated).read().t.tolist()) == {at(2026, 2, 28, 12)}


def test_times_before_anything_are_left_out_and_counted(tmp_path: Path) -> None:
    csv(tmp_path, "a.csv", ["1970-01-01T00:00:07Z", "1980-01-06", "2025-12-24", "2026-01-03", "2026-01-04"])
    events = EventLog(rules(tmp_path)).read()
    assert events.counts["implausible time"] == 2
    assert events.t.min() == at(2025, 12, 24)
    assert EventLog(rules(tmp_path, begins="2026-01-01")).read().counts["implausible time"] == 3
