"""Files are read as one log: types and encodings are stated, or decided for all files alike."""

from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.definition import Definition
from features.errors import DefinitionError, EventLogError
from features.event_store.store import EventStore
from features.reading.source import EventLog
from tests.features.event_store.csv_logs import csv, opened, rules


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


@pytest.mark.parametrize("at_once", [True, False])
def test_a_file_is_judged_by_itself_whatever_is_taken_in_with_it(tmp_path: Path, at_once: bool) -> None:
    times = ["2026-01-03"] * 30
    definition = rules(tmp_path)
    for name in ("1", "2", "3"):
        csv(tmp_path, f"{name}.csv", times * 100, amounts=[1] * 3000)
    if not at_once:
        opened(definition, tmp_path)
    csv(tmp_path, "4.csv", [*times[:20], *["never"] * 10], amounts=[1] * 30)
    message = r"10 of 30 values \(33.3%\) of time in column 'time' cannot be read: 'never' in 4.csv"
    with pytest.raises(EventLogError, match=message):
        opened(definition, tmp_path)
    with pytest.raises(EventLogError, match=message):
        EventLog(definition).read()


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
        with pytest.raises(EventLogError, match=r"user in column 'user_id' are numbers so large.*store ids as text"):
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
