"""The event log: read in every format, checked with counts, never a silent loss."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from features.definition import Definition
from features.errors import DefinitionError, EventLogError
from features.events.compacted import NONE
from features.reading.source import EventLog
from features.time import DAY, to_instant
from features.traits import read_traits
from tests.features.reading.logs import COLUMNS, NOON, definition, log, open_log


def test_what_is_dropped_is_counted_by_reason(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "event_id": ["1", "2", "2", "3", "4", "5", "6", "7", None, None],
            "user_id": ["a", "a", "a", None, " ", "b", "test-1", "b", "c", "c"],
            "event": ["visit", "purchase", "purchase", "visit", "visit", "visit", "visit", "visit", "push", "visit"],
            "event_time": [
                NOON,
                NOON,
                NOON + timedelta(hours=1),
                NOON,
                NOON,
                None,
                NOON,
                datetime(2025, 6, 1),
                NOON,
                NOON,
            ],
            "arrived_at": [NOON] * 10,
            "revenue": [None, 3.0, 3.0, *[None] * 7],
        }
    )
    events = open_log(tmp_path, frame, exclude=["user_id LIKE 'test-%'"]).read()
    assert events.counts == {
        "rows": 10, "no user": 2, "no or unreadable time": 1, "excluded user": 1, "at or after the declared end": 1,
        "duplicate id": 1, "no signal": 1,
    }  # fmt: skip
    assert sum(events.counts.values()) - events.counts["rows"] + len(events.t) == events.counts["rows"]
    assert events.users.to_list() == ["a", "c"]
    assert events.values[:, 0].sum() == 3.0, "the earliest of two rows with one id stays"


def test_events_come_sorted_whatever_the_order_of_the_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    times = [NOON + timedelta(seconds=int(s)) for s in rng.integers(0, 80 * 86_400, 5_000)]
    frame = pl.DataFrame(
        {"user_id": [f"u{i}" for i in rng.integers(0, 300, 5_000)], "event": "visit", "event_time": times}
    )
    frame = frame.with_columns(revenue=pl.lit(None, dtype=pl.Float64))
    (tmp_path / "parts").mkdir()
    for i, part in enumerate(frame.iter_slices(700)):
        part.write_parquet(tmp_path / "parts" / f"{7 - i}.parquet")
    columns = {"user": "user_id", "event": "event", "time": "event_time"}
    events = EventLog(definition(tmp_path, path=str(tmp_path / "parts" / "*.parquet"), columns=columns)).read()
    assert events.users.is_sorted()
    assert events.users.n_unique() == len(events.users) == frame["user_id"].n_unique()
    assert len(events.t) == 5_000
    for lo, hi in zip(events.starts[:-1], events.starts[1:], strict=True):
        assert np.all(np.diff(events.t[lo:hi]) >= 0)


def test_arrival_decides_from_when_an_event_is_seen(tmp_path: Path) -> None:
    events = open_log(tmp_path, log()).read()
    at = to_instant(NOON.replace(tzinfo=UTC))
    assert events.t.tolist() == [at, at + DAY]
    assert events.visible.tolist() == [at + 1, at + 2 * DAY]


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz", "tsv", "duckdb"])
def test_every_format_reads_the_same(tmp_path: Path, kind: str) -> None:
    frame, path = log(), tmp_path / f"events.{kind}"
    table = None
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind == "duckdb":
        table = "log"
        with duckdb.connect(str(path)) as connection:
            connection.register("frame", frame.to_arrow())
            connection.execute("CREATE TABLE log AS SELECT * FROM frame")
    else:
        separator = "\t" if kind == "tsv" else ","
        plain = tmp_path / "plain"
        frame.write_csv(plain, separator=separator)
        with duckdb.connect() as connection:
            compression = "gzip" if kind.endswith("gz") else "none"
            delimiter = f"DELIMITER '{separator}', COMPRESSION {compression}"
            connection.execute(f"COPY (FROM read_csv('{plain}')) TO '{path}' (HEADER, {delimiter})")
    events = EventLog(definition(tmp_path, path=str(path), table=table)).read()
    expected = open_log(tmp_path, frame).read()
    assert events.users.equals(expected.users)
    assert np.array_equal(events.t, expected.t)
    assert np.array_equal(events.values, expected.values)


@pytest.mark.parametrize(
    ("times", "naive"),
    [
        ([NOON, NOON], True),
        ([NOON.replace(tzinfo=UTC)] * 2, False),
        (["2025-03-01T12:00:00Z", "2025-03-01T14:00:00+02:00"], True),
        (["2025-03-01 12:00:00", "2025-03-01 12:00"], True),
    ],
)
def test_times_are_utc_wherever_the_machine_is(
    tmp_path: Path, times: list[object], naive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    opened = open_log(tmp_path, log(event_time=times, arrived_at=times))
    assert ("TIME ZONE" not in opened.columns["event_time"]) is naive
    assert opened.read().t.tolist() == [to_instant(NOON.replace(tzinfo=UTC))] * 2


def test_text_that_is_no_time_is_counted(tmp_path: Path) -> None:
    events = open_log(tmp_path, log(event_time=["2025-03-01", "yesterday"], arrived_at=["2025-03-01"] * 2)).read()
    assert events.counts["no or unreadable time"] == 1


@pytest.mark.parametrize(
    ("changes", "error", "answer"),
    [
        ({"path": "nowhere/*.parquet"}, EventLogError, "no file at"),
        ({"path": "events.xlsx"}, EventLogError, "of kind 'xlsx'"),
        ({"path": ["events.parquet", "events.csv"]}, EventLogError, "mixes csv, parquet"),
        ({"path": "events.duckdb"}, EventLogError, "cannot read .*events.duckdb.*not a valid DuckDB"),
        ({"path": "broken.parquet"}, EventLogError, "cannot read .*broken.parquet"),
        ({"path": "${NOT_SET_ANYWHERE}/events.parquet"}, EventLogError, "names a variable that is not set"),
        (
            {"columns": COLUMNS | {"user": "customer"}},
            EventLogError,
            "events.columns.user is 'customer'.*its columns are event_id",
        ),
        ({"columns": COLUMNS | {"time": "revenue"}}, EventLogError, "type DOUBLE, which does not say a time"),
        ({"ends": None}, EventLogError, "the last event is at 2025-03-02 12:00:00"),
        (
            {"exclude": ["user_idd = 'x'"]},
            DefinitionError,
            r"events.exclude\[0\]: unknown column 'user_idd'.*nearest: user_id",
        ),
        ({"exclude": ["user_id"]}, DefinitionError, "is not a yes/no question"),
        ({"ends": "2020-01-01T00:00:00Z"}, EventLogError, "no event is left.*2 at or after the declared end"),
    ],
)
def test_a_log_that_cannot_be_read_as_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], error: type[Exception], answer: str
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = log()
    frame.write_parquet("events.parquet")
    frame.write_csv("events.csv")
    Path("events.xlsx").write_bytes(b"x")
    Path("events.duckdb").write_bytes(b"x")
    Path("broken.parquet").write_bytes(Path("events.parquet").read_bytes()[:200])
    if isinstance(changes.get("path"), str) and "$" not in str(changes["path"]):
        changes = changes | {"path": str(tmp_path / str(changes["path"]))}
    elif isinstance(changes.get("path"), list):
        changes = changes | {"path": [str(tmp_path / p) for p in changes["path"]]}  # type: ignore[attr-defined]
    with pytest.raises(error, match=answer):
        EventLog(definition(tmp_path, **changes)).read()


@pytest.mark.parametrize(
    ("signal", "answer"),
    [
        ({"where": "evnt = 'visit'"}, "signals.visit.where: unknown column 'evnt'.*nearest: event"),
        ({"where": "event"}, "is not a yes/no question"),
        ({"where": "event = 1 + 'x'"}, "signals.visit.where"),
        ({"where": "event = 'visit'", "value": "event"}, "signals.visit.value: 'event' yields VARCHAR"),
        ({"where": "event IN (SELECT event FROM other)"}, "not allowed"),
    ],
)
def test_a_signal_that_does_not_fit_the_log(tmp_path: Path, signal: dict[str, object], answer: str) -> None:
    log().write_parquet(tmp_path / "events.parquet")
    rules = definition(tmp_path).model_dump()
    rules["signals"]["visit"] = {"activity": True} | signal
    with pytest.raises(DefinitionError, match=answer):
        EventLog(Definition.model_validate(rules))


def test_numeric_users_and_unicode_are_text(tmp_path: Path) -> None:
    assert open_log(tmp_path, log(user_id=[17, 3])).read().users.to_list() == ["17", "3"]
    assert open_log(tmp_path, log(user_id=["Zoë", "李"])).read().users.to_list() == ["Zoë", "李"]


def test_one_event_can_fire_several_signals(tmp_path: Path) -> None:
    log().write_parquet(tmp_path / "events.parquet")
    rules = definition(tmp_path).model_dump()
    rules["signals"]["visit"] = {"where": "event IN ('visit', 'purchase')", "activity": True}
    events = EventLog(Definition.model_validate(rules)).read()
    assert events.mask.tolist() == [1, 1 | 4]
    assert events.users.gather(events.of_signal(0)["place"]).to_list() == ["a", "b"]


def test_traits_are_read_as_text_with_the_time_they_became_known(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"who": ["a", "a", None], "since": [NOON, NOON + timedelta(days=3), NOON], "plan": ["free", "plus", "x"]}
    )
    frame.write_parquet(tmp_path / "traits.parquet")
    traits = {
        "path": str(tmp_path / "traits.parquet"),
        "columns": {"user": "who", "known": "since"},
        "fields": ["plan"],
    }
    rules = definition(tmp_path).model_dump() | {"traits": traits}
    assert read_traits(Definition.model_validate(rules), NONE).rows() == [
        ("a", NOON.replace(tzinfo=UTC), "free"), ("a", (NOON + timedelta(days=3)).replace(tzinfo=UTC), "plus"),
    ]  # fmt: skip
    traits["fields"] = ["plan", "colour"]
    with pytest.raises(EventLogError, match="traits name column 'colour'"):
        read_traits(Definition.model_validate(rules), NONE)


@pytest.mark.parametrize("name", ["events.jsonl", "events.json.gz", "export.zip"])
def test_an_export_is_refused_with_the_command_that_makes_a_log_of_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(EventLogError, match="is of kind") as caught:
        EventLog(definition(tmp_path, path=str(tmp_path / name)))
    assert "propensity import" in caught.value.fix


def test_a_survey_counts_names_days_and_users_whatever_columns_are_called(tmp_path: Path) -> None:
    frame = log(t=[1, 2], day=["x", "y"], who=["p", "q"], name=["n", "m"])
    frame = pl.concat([frame, frame.head(1).with_columns(event_id=pl.lit("3"))])
    found = open_log(tmp_path, frame).survey()
    first = to_instant(NOON.replace(tzinfo=UTC))
    assert found.events == {"visit": 2, "purchase": 1}
    assert (found.names["visit"].first, found.names["purchase"].last) == (first, first + DAY)
    assert found.days == {first // DAY: 2, first // DAY + 1: 1}
    assert found.busiest == ("a", 2)
