"""Files are read as one log: types, times and encodings are stated, or decided for all files alike."""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.definition import Definition, load_definition
from features.errors import DefinitionError, EventLogError
from features.event_store.open import open_log
from features.event_store.store import EventStore
from features.reading.source import EventLog
from features.settings import Settings
from features.system.progress import unseen
from features.time import to_instant
from tests.conftest import ROOT
from tests.worlds import DEFINITION

ENDS = "2026-06-01T00:00:00Z"
COLUMNS = {"user": "user_id", "event": "event", "time": "time"}


def rules(folder: Path, path: object = "*.csv", signals: Mapping[str, object] = {}, **events: object) -> Definition:
    known = {"path": path, "columns": COLUMNS, "ends": ENDS} | events
    definition = Definition.model_validate(DEFINITION | {"events": known} | ({"signals": signals} if signals else {}))
    definition._source = folder / "propensity.yaml"
    return definition


def csv(
    folder: Path, name: str, times: list[str], *, amounts: list[object] | None = None, users: object = None
) -> None:
    rows = zip(users or [f"u{i % 7}" for i in range(len(times))], times, amounts or [""] * len(times), strict=True)  # type: ignore[call-overload]
    lines = [f"{user},purchase,{time},{amount}" for user, time, amount in rows]
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text("\n".join(["user_id,event,time,revenue", *lines, ""]))


def opened(definition: Definition, folder: Path) -> EventStore:
    found = open_log(definition, Settings(home=folder / "var"), ends=None, steps=unseen)
    assert isinstance(found, EventStore)
    return found


def at(*parts: int) -> int:
    return to_instant(datetime(*parts, tzinfo=UTC))  # type: ignore[misc]


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
    said = advice.split("say ")[1].split(": ", 1)
    stated = rules(tmp_path, **{said[0].removeprefix("events."): said[1].strip("'")})
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


def test_columns_of_csv_files_are_what_all_their_values_are(tmp_path: Path) -> None:
    times = ["2026-01-03"] * 4
    csv(tmp_path, "1.csv", times, amounts=["", "", "", ""], users=["007", "8", "9", "1e3"])
    csv(tmp_path, "2.csv", times, amounts=["1", "2", "", "3"], users=["A7", "true", "12.0", "2026-01-01"])
    csv(tmp_path, "3.csv", times, amounts=["1.5", "nan", "-2", ""], users=["0", "8", "9", "10"])
    log = EventLog(rules(tmp_path))
    assert log.columns == {"user_id": "VARCHAR", "event": "VARCHAR", "time": "VARCHAR", "revenue": "DOUBLE"}
    events = log.read()
    assert events.users.to_list() == ["0", "007", "10", "12", "1e3", "2026-01-01", "8", "9", "A7", "true"]
    assert events.values.sum() == 1 + 2 + 3 + 1.5 - 2


def test_tomorrows_file_obeys_what_the_first_ones_decided(tmp_path: Path) -> None:
    times = ["2026-01-03"] * 30
    csv(tmp_path, "1.csv", times, amounts=[1] * 30)
    definition = rules(tmp_path)
    assert opened(definition, tmp_path).manifest.types["revenue"] == "DOUBLE"
    csv(tmp_path, "2.csv", times, amounts=["2.5"] * 29 + ["12;50"])
    store = opened(definition, tmp_path)
    assert store.read().values.sum() == 30 + 29 * 2.5
    finding = store.findings["column 'revenue'"]
    assert (finding.rows, finding.of, finding.examples) == (1, 60, ("'12;50' in 2.csv",))
    csv(tmp_path, "3.csv", times, amounts=["a lot"] * 30)
    with pytest.raises(EventLogError, match=r"30 of 30 values \(100.0%\) of column 'revenue' .*'a lot' in 3.csv"):
        opened(definition, tmp_path)
    assert (
        store.counts
        == EventStore(EventLog(definition, types={"revenue": "DOUBLE"}), tmp_path / "var/small/events").counts
    )


def test_a_log_without_any_purchase_is_a_log(tmp_path: Path) -> None:
    csv(tmp_path, "a.csv", ["2026-01-03"] * 3)
    assert EventLog(rules(tmp_path)).read().values.sum() == 0


def test_a_cast_in_an_expression_is_counted_and_never_an_error(tmp_path: Path) -> None:
    signals = {"visit": {"where": "event = 'purchase'", "activity": True, "value": "CAST(revenue AS DOUBLE)"}}
    outcomes = {"churn": {"will_not": "visit", "within": "14d", "among": "days_since_visit < 28"}}
    frame = pl.DataFrame(
        {"user_id": "a", "event": "purchase", "time": "2026-01-03", "revenue": ["1.5", "", "x"] + ["2"] * 40}
    )
    frame.write_parquet(tmp_path / "a.parquet")
    definition = Definition.model_validate(rules(tmp_path, "a.parquet", signals).model_dump() | {"outcomes": outcomes})
    definition._source = tmp_path / "propensity.yaml"
    store = opened(definition, tmp_path)
    assert store.read().values.sum() == 81.5
    [(name, found)] = [(n, f) for n, f in store.findings.items() if f.rows]
    assert name == "CAST(revenue AS DOUBLE) in signals.visit.value"
    assert (found.rows, found.of, found.examples) == (1, 42, ("'x' in a.parquet",))


def test_text_that_should_be_a_number_is_shown(tmp_path: Path) -> None:
    csv(tmp_path, "a.csv", ["2026-01-03"] * 3, amounts=['"136,66"'] * 3)
    with pytest.raises(DefinitionError, match=r"'revenue' yields VARCHAR; 'revenue' holds '136,66'"):
        EventLog(rules(tmp_path))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig"])
def test_files_are_read_in_the_stated_encoding(tmp_path: Path, encoding: str) -> None:
    text = "user_id;event;time;revenue\nZoë;purchase;2026-01-03;1.5\n"
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    stated = {} if encoding == "utf-8-sig" else {"encoding": encoding}
    assert EventLog(rules(tmp_path, **stated)).read().users.to_list() == ["Zoë"]
    if stated:
        with pytest.raises(EventLogError, match=r"a\.csv cannot be read with the encoding.*events.encoding") as error:
            EventLog(rules(tmp_path)).read()
        assert "\n" not in str(error.value)


def hive(folder: Path) -> None:
    for day in ("2026-01-03", "2026-01-04"):
        for part in (0, 1):
            file = folder / "hive" / f"date={day}" / f"part-{part}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            pl.DataFrame({"user_id": ["a", "b"], "event": "purchase", "revenue": float(part)}).write_parquet(file)
    (folder / "hive" / "_SUCCESS").touch()
    (folder / "hive" / "date=2026-01-03" / ".part-0.parquet.crc").touch()


@pytest.mark.parametrize(
    "path",
    [
        "hive",
        "hive/*/*.parquet",
        "hive/date=*/part-*.parquet",
        "hive/**/*.parquet",
        "hive/date=2026-01-0[34]",
        "file://{}/hive",
    ],
)
def test_folders_and_patterns_at_any_level(tmp_path: Path, path: str) -> None:
    hive(tmp_path)
    columns = COLUMNS | {"time": "date"}
    events = opened(rules(tmp_path, path.format(tmp_path), columns=columns), tmp_path).read()
    assert (
        events.t.tolist() == [at(2026, 1, 3)] * 2 + [at(2026, 1, 4)] * 2 + [at(2026, 1, 3)] * 2 + [at(2026, 1, 4)] * 2
    )
    assert events.values.sum() == 4


def test_a_partition_can_be_asked_about_and_is_text(tmp_path: Path) -> None:
    hive(tmp_path)
    definition = rules(tmp_path, "hive", columns=COLUMNS | {"time": "date"}, exclude=["date = '2026-01-03'"])
    log = EventLog(definition)
    assert log.columns["date"] == "VARCHAR"
    assert set(log.read().t.tolist()) == {at(2026, 1, 4)}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("s3://bucket/log/*.parquet", "not on this machine.*PROPENSITY_ENGINE=spark"),
        ("delta", "is a Delta table"),
        ("mixed/**/*.parquet", "different partitions"),
        ("nothing/**/*.parquet", "no file at"),
    ],
)
def test_places_that_are_not_read(tmp_path: Path, path: str, said: str) -> None:
    hive(tmp_path)
    (tmp_path / "delta" / "_delta_log").mkdir(parents=True)
    shutil.copytree(tmp_path / "hive", tmp_path / "mixed")
    shutil.copy(tmp_path / "hive" / "date=2026-01-03" / "part-0.parquet", tmp_path / "mixed" / "x.parquet")
    with pytest.raises(EventLogError, match=said):
        EventLog(rules(tmp_path, path))


def test_files_without_rows_decide_nothing(tmp_path: Path) -> None:
    good = pl.DataFrame({"user_id": ["a"], "event": "purchase", "time": [datetime(2026, 1, 3)], "revenue": 1.5})
    good.write_parquet(tmp_path / "b.parquet")
    empty = {name: pa.array([], pa.int32()) for name in ("user_id", "event", "revenue")}
    pq.write_table(pa.table(empty), tmp_path / "a.parquet")
    pq.write_table(pa.table({**{n: pa.array([], pa.null()) for n in good.columns}}), tmp_path / "c.parquet")
    nothing = good.with_columns(revenue=pl.lit(None, dtype=pl.Null)).to_arrow()
    pq.write_table(nothing, tmp_path / "d.parquet")
    log = EventLog(rules(tmp_path, "*.parquet"))
    assert log.columns["time"].startswith("TIMESTAMP")
    assert opened(rules(tmp_path, "*.parquet"), tmp_path).read().values.tolist() == [[0.0], [1.5]]


def test_empty_csv_files_are_days_without_events(tmp_path: Path) -> None:
    csv(tmp_path, "b.csv", ["2026-01-03"] * 3, amounts=[1, 2, 3])
    csv(tmp_path, "a.csv", [])
    (tmp_path / "c.csv").touch()
    assert EventLog(rules(tmp_path)).read().values.sum() == 6


def test_another_separator_is_named(tmp_path: Path) -> None:
    csv(tmp_path, "a.csv", ["2026-01-03"] * 3)
    (tmp_path / "b.csv").write_text("user_id;event;time;revenue\nu1;purchase;2026-01-03;1\n")
    with pytest.raises(EventLogError, match=r"b.csv has no column 'user_id'.*user_id;event;time;revenue"):
        EventLog(rules(tmp_path)).read()


def test_ids_that_a_program_has_rounded_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"user_id": [1.0, 2e16], "event": "purchase", "time": "2026-01-03", "revenue": 1.0}).write_parquet(
        tmp_path / "a.parquet"
    )
    csv(tmp_path, "a.csv", ["2026-01-03"] * 2, users=["7", "1.2345678901234568e+17"])
    for path in ("a.parquet", "a.csv"):
        with pytest.raises(EventLogError, match=r"user in column 'user_id' cannot be read.*store ids as text"):
            EventLog(rules(tmp_path, path)).read()


def test_words_for_nobody_are_counted_and_refused_above_a_share(tmp_path: Path) -> None:
    users = ["undefined"] * 3 + ["null"] * 2 + [f"u{i}" for i in range(45)]
    csv(tmp_path, "a.csv", ["2026-01-03"] * 50, users=users)
    store = opened(rules(tmp_path), tmp_path)
    found = store.findings["placeholder user"]
    assert (found.rows, found.of, found.examples) == (5, 50, ("'undefined' in a.csv", "'null' in a.csv"))
    csv(tmp_path, "b.csv", ["2026-01-03"] * 50, users=["00000000-0000-0000-0000-000000000000"] * 50)
    with pytest.raises(EventLogError, match=r"50 of 50 rows \(100.0%\) have a word for nobody.*events.exclude"):
        opened(rules(tmp_path), tmp_path)
    allowed = rules(tmp_path, at_most={"placeholders": 1})
    assert opened(allowed, tmp_path).findings["placeholder user"].rows == 55


def test_times_before_anything_are_left_out_and_counted(tmp_path: Path) -> None:
    csv(tmp_path, "a.csv", ["1970-01-01T00:00:07Z", "1980-01-06", "2025-12-24", "2026-01-03", "2026-01-04"])
    events = EventLog(rules(tmp_path)).read()
    assert events.counts["implausible time"] == 2
    assert events.t.min() == at(2025, 12, 24)
    assert EventLog(rules(tmp_path, begins="2026-01-01")).read().counts["implausible time"] == 3


def test_a_table_of_a_duckdb_file_and_a_view(tmp_path: Path) -> None:
    csv(tmp_path, "under.csv", ["2026-01-03"] * 3, amounts=[1, 2, 3])
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        connection.execute(f"CREATE VIEW v AS SELECT * FROM read_csv('{tmp_path}/under.csv')")
        connection.execute("CREATE TABLE t AS FROM v")
    table, view = (rules(tmp_path, "a.duckdb", table=name) for name in "tv")
    assert not EventLog(table).is_view
    assert EventLog(view).is_view
    first = opened(view, tmp_path)
    assert opened(view, tmp_path).manifest == first.manifest, "nothing has changed"
    csv(tmp_path, "under.csv", ["2026-01-03"] * 4, amounts=[1, 2, 3, 5])
    assert opened(view, tmp_path).read().values.sum() == 11
    assert opened(table, tmp_path).read().values.sum() == 6
