"""What `propensity check` says of a log: what is wrong first, a page's worth, and a verdict with an exit code."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
import yaml

from propensity.preview.warnings import like_ids
from tests.propensity.logs import CASES, case_with, checked, daily, rows_of, run


def test_case_19_a_signal_that_never_fires_is_reported_with_the_names_there_are(tmp_path: Path) -> None:
    _, found = checked(CASES / "19-event-name-in-other-case" / "propensity.yaml", tmp_path)
    assert "signals.purchase never fires: event = 'Purchase'; the log has 'purchase'." in found.warnings
    assert found.content["events"] == {"view": 351, "purchase": 20}
    assert found.verdict == "Verdict: it can be trained; look at the lines above first (2)."


def test_case_12_a_clock_that_stood_at_1970_is_left_out_and_told(tmp_path: Path) -> None:
    store, found = checked(CASES / "12-device-clock-1970" / "propensity.yaml", tmp_path)
    implausible = store.counts["implausible time"]
    assert implausible >= 1
    assert any(answer.startswith(f"{implausible} rows are left out: their time is before") for answer in found.warnings)
    assert store.first > 1_700_000_000_000_000, "the warm-up begins with the log"


@pytest.mark.parametrize(
    ("suffix", "answer"),
    [
        (" -0500", "with their offset, converted to UTC"),
        ("+01:00", "with their offset, converted to UTC"),
        (" UTC", "with their offset, converted to UTC"),
        ("", "without a zone, taken as UTC"),
    ],
)
def test_case_27_how_times_say_their_zone(tmp_path: Path, suffix: str, answer: str) -> None:
    _, found = checked(case_with(tmp_path, rows_of(daily(80, suffix))), tmp_path / "var")
    assert f"times {answer}" in str(found.shown[0])


@pytest.mark.parametrize(
    ("timezone", "suffix", "warns"),
    [("America/New_York", "", True), ("America/New_York", "-05:00", False), ("UTC", "", False)],
)
def test_the_page_says_whose_days_it_shows_and_warns_of_times_that_may_be_local(
    tmp_path: Path, timezone: str, suffix: str, warns: bool
) -> None:
    file = case_with(tmp_path, rows_of(daily(80, suffix)))
    file.write_text(file.read_text() + f"timezone: {timezone}\n")
    _, found = checked(file, tmp_path / "var")
    assert f"days of {timezone}," in str(found.shown[0])
    assert found.content["timezone"] == timezone
    assert any("If they are local times" in warning for warning in found.warnings) is warns


def test_days_of_the_log_are_those_of_the_time_zone(tmp_path: Path) -> None:
    """From 22:30 in New York on it is tomorrow in UTC: the days without events begin and end a day earlier there."""
    times = [f"2026-01-{day:02d}T03:{m:02d}:00+00:00" for day in [*range(2, 12), *range(20, 29)] for m in range(30)]
    gaps = {}
    for timezone in ("UTC", "America/New_York"):
        file = case_with(tmp_path, rows_of(times))
        file.write_text(file.read_text() + f"timezone: {timezone}\n")
        _, found = checked(file, tmp_path / timezone)
        [gaps[timezone]] = [warning for warning in found.warnings if "no events from" in warning]
        names = found.content["names"]
        assert isinstance(names, list)
        assert names[0]["first"] == ("2026-01-02" if timezone == "UTC" else "2026-01-01")
    assert "2026-01-12 to 2026-01-19 (8 days)" in gaps["UTC"]
    assert "2026-01-11 to 2026-01-18 (8 days)" in gaps["America/New_York"]


def test_amounts_of_several_currencies_are_warned_of(tmp_path: Path) -> None:
    rows = rows_of(daily(80)).with_columns(
        amount=pl.lit(5.0), event=pl.lit("purchase"), currency=pl.Series([["EUR", "usd "][i % 2] for i in range(320)])
    )
    file = case_with(tmp_path, rows)
    content = yaml.safe_load(file.read_text())
    content["signals"]["purchase"]["where"] = "event = 'purchase'"
    file.write_text(yaml.safe_dump(content))
    _, found = checked(file, tmp_path / "var")
    [warning] = [text for text in found.warnings if "several currencies" in text]
    assert "column 'currency' says EUR, USD" in warning
    content["signals"]["purchase"]["currency"] = "currency"
    file.write_text(yaml.safe_dump(content | {"currencies": {"into": "EUR", "rates": {"USD": 0.9}}}))
    assert not [text for text in checked(file, tmp_path / "var")[1].warnings if "several currencies" in text]


def test_case_14_the_edges_of_a_label_window(tmp_path: Path) -> None:
    """Who visits at the cutoff itself or a second before the window ends stays; at its end, or before it, churns."""
    _, found = checked(CASES / "14-label-edges" / "propensity.yaml", tmp_path)
    outcomes = found.content["outcomes"]
    assert isinstance(outcomes, dict)
    assert outcomes["churn"][-1] == {"week of": "2026-01-12", "eligible": 4, "positives": 2, "base_rate": 0.5}


def test_users_that_are_words_for_nobody_are_reported(tmp_path: Path) -> None:
    users = ["undefined" if i % 10 == 0 else f"u{i % 20}" for i in range(320)]
    _, found = checked(case_with(tmp_path, rows_of(daily(80), user_id=users)), tmp_path / "var")
    answer = "32 of 320 rows (10.0%) have a word for nobody as their user: 'undefined' in events.csv."
    assert answer in found.warnings


def test_ids_that_differ_in_case_or_blanks_are_reported() -> None:
    [answer] = like_ids(pl.Series(["User7@X", "user7@x", "u 8", "u8", "u9"]))
    assert answer.startswith("4 of 5 users have an id that is another's but for case or blanks, such as")
    assert like_ids(pl.Series(["a", "b"])) == []


def test_case_28_a_view_is_read_each_time_and_that_is_said(tmp_path: Path) -> None:
    under = tmp_path / "under.csv"
    rows_of(daily(80)).write_csv(under)
    with duckdb.connect(str(tmp_path / "v.duckdb")) as connection:
        connection.execute(f"CREATE VIEW ev AS SELECT * FROM read_csv('{under}', types = {{'amount': 'DOUBLE'}})")
    file = case_with(tmp_path, rows_of(daily(1)), path="v.duckdb", table="ev")
    store, found = checked(file, tmp_path / "var")
    assert store.counts["rows"] == 320
    assert any(answer.startswith("'ev' is a view: all of it is read each time") for answer in found.warnings)
    rows_of(daily(83)).write_csv(under)
    assert checked(file, tmp_path / "var")[0].counts["rows"] == 332


def test_the_page_is_short_and_says_first_what_is_wrong(tmp_path: Path) -> None:
    _, found = checked(CASES / "19-event-name-in-other-case" / "propensity.yaml", tmp_path)
    assert "never fires" in str(found.page[0])
    assert str(found.page[-1]).startswith("[bold]Verdict: ")
    assert any("the last 6 of 15 weeks; --verbose shows all" in str(getattr(t, "title", "")) for t in found.shown)


def test_case_18_half_the_times_unreadable_is_an_error(tmp_path: Path) -> None:
    done = run("-d", str(CASES / "18-half-the-times-unreadable" / "propensity.yaml"), home=tmp_path)
    assert done.returncode == 2
    assert (
        "unreadable 186 of 371 values (50.1%) of time in column 'time' cannot be read: '05.10.2025 00:00'"
        in done.stderr
    )
    assert "say events.time_format: [iso, '%d.%m.%Y %H:%M']" in done.stderr


def test_check_for_machines(tmp_path: Path) -> None:
    done = run("--json", "-d", str(CASES / "19-event-name-in-other-case" / "propensity.yaml"), home=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["rows"]["rows"] == 371
    assert answer["signals"]["purchase"] == {"events": 0, "users": 0}
    assert answer["outcomes"]["churn"]
    plan = {part["slice"]: part for part in answer["learning"]["churn"]["slices"]}
    assert plan["learn"]["last"] == plan["all"]["last"] == plan["test"]["last"]
    assert "too small for two periods a label window apart: other users judge" in answer["learning"]["churn"]["words"]
    assert plan["all"]["rows"] == sum(week["eligible"] for week in answer["outcomes"]["churn"])
    assert plan["learn"]["rows"] < plan["all"]["rows"]
    assert answer["verdict"].startswith("Verdict: ")


@pytest.mark.parametrize(("days", "tied"), [([5] * 120, True), (list(range(1, 31)) * 4, False)])
def test_users_whom_rfm_cannot_tell_apart_are_reported(tmp_path: Path, days: list[int], tied: bool) -> None:
    start = datetime(2026, 1, 20)
    lines = [
        {"user_id": f"u{u}", "event": "view", "time": f"{start + timedelta(days=d):%Y-%m-%d %H:%M:%S}", "amount": None}
        for u, n in enumerate(days) for d in range(n)
    ] + [{"user_id": "old", "event": "view", "time": "2025-10-20 00:00:00", "amount": None}]  # fmt: skip
    file = case_with(tmp_path, pl.DataFrame(lines), ends="2026-03-01T00:00:00Z")
    _, found = checked(file, tmp_path)
    answer = [warning for warning in found.warnings if warning.startswith("RFM:")]
    assert bool(answer) is tied, found.warnings
    assert not tied or "were active on equally many days: they share one frequency score" in answer[0]


def test_an_event_that_differs_from_a_signals_in_marks_only_is_reported(tmp_path: Path) -> None:
    rows = pl.concat([rows_of(daily(60)), rows_of(daily(3), event="purchase"), rows_of(daily(2), event="Pur-Chase")],
                     how="vertical_relaxed")  # fmt: skip
    file = case_with(tmp_path, rows)
    content = yaml.safe_load(file.read_text())
    content["signals"]["purchase"]["where"] = "event = 'purchase'"
    file.write_text(yaml.safe_dump(content))
    _, found = checked(file, tmp_path / "var")
    expected = (
        "8 rows have the event 'Pur-Chase', which is in no signal and differs from 'purchase' of signals.purchase"
    )
    assert any(expected in warning for warning in found.warnings)
    assert found.content["events_in_no_signal"] == ["Pur-Chase"]


@pytest.mark.parametrize(("rows_a_user", "warned"), [(4, False), (400, True)])
def test_a_user_with_an_improbable_share_of_the_rows_is_reported(
    tmp_path: Path, rows_a_user: int, warned: bool
) -> None:
    times = daily(120)
    every = rows_of(times, user_id=[f"u{i % 120}" for i in range(len(times))])
    robot = rows_of(times[:rows_a_user], user_id="robot's")
    _, found = checked(case_with(tmp_path, pl.concat([every, robot], how="vertical_relaxed")), tmp_path / "var")
    warnings = [warning for warning in found.warnings if "of all rows" in warning]
    assert bool(warnings) == warned
    if warned:
        assert "events.exclude: [\"user_id = 'robot''s'\"]" in warnings[0]


@pytest.mark.parametrize("missing", [0, 5])
def test_days_on_which_nothing_happened_are_reported(tmp_path: Path, missing: int) -> None:
    times = [time for time in daily(60) for _ in range(8)]
    kept = [t for t in times if not ("2025-12-10" <= t[:10] < f"2025-12-{10 + missing}")]
    _, found = checked(case_with(tmp_path, rows_of(kept)), tmp_path / "var")
    warnings = [warning for warning in found.warnings if "no events from" in warning]
    assert bool(warnings) == bool(missing)
    if missing:
        assert "2025-12-10 to 2025-12-14 (5 days)" in warnings[0]


def test_days_after_the_declared_end_are_no_days_without_events(tmp_path: Path) -> None:
    times = [time for time in daily(60) for _ in range(8)]
    later = ["2026-02-20 00:00:00"] * 8
    rows = rows_of([*times, *later])
    for ends, warned in (("2026-02-25T00:00:00Z", True), ("2026-01-19T00:00:00Z", False)):
        _, found = checked(case_with(tmp_path, rows, ends=ends), tmp_path / "var")
        assert bool([warning for warning in found.warnings if "no events from" in warning]) == warned


def test_the_names_of_events_are_shown_with_days_shares_and_signals(tmp_path: Path) -> None:
    done = run("--definition", str(CASES / "19-event-name-in-other-case" / "propensity.yaml"), home=tmp_path)
    assert "2025" in done.stdout
    assert "94.6%" in done.stdout
    assert "visit" in done.stdout


@pytest.mark.parametrize(("within", "warned"), [("4d", True), ("7d", False)])
def test_a_horizon_shorter_than_usual_gaps_is_reported_with_the_number(
    tmp_path: Path, within: str, warned: bool
) -> None:
    times = daily(90)  # each user is here every five days
    file = case_with(tmp_path, rows_of(times))
    content = yaml.safe_load(file.read_text())
    content["outcomes"]["churn"]["within"] = within
    file.write_text(yaml.safe_dump(content))
    _, found = checked(file, tmp_path / "var")
    warnings = [warning for warning in found.warnings if "outcomes.churn" in warning]
    assert bool(warnings) == warned
    if warned:
        assert "100% of all gaps between two days with visit are longer than 'within' (4d)" in warnings[0]
        assert "the middle one has 5 days" in warnings[0]
    rhythm = found.content["rhythm"]
    assert isinstance(rhythm, dict)
    assert rhythm["churn"]["middle_gap_days"] == 5


def test_a_robot_that_is_excluded_is_reported_no_more(tmp_path: Path) -> None:
    times = daily(120)
    every = rows_of(times, user_id=[f"u{i % 120}" for i in range(len(times))])
    robot = rows_of(times[:400], user_id="robot")
    rows = pl.concat([every, robot], how="vertical_relaxed")
    _, found = checked(case_with(tmp_path, rows, exclude=["user_id = 'robot'"]), tmp_path / "var")
    assert not [warning for warning in found.warnings if "of all rows" in warning]


def test_strict_makes_warnings_errors(tmp_path: Path) -> None:
    file = str(CASES / "19-event-name-in-other-case" / "propensity.yaml")
    assert run("--definition", file, home=tmp_path).returncode == 0
    assert run("--definition", file, "--strict", home=tmp_path).returncode == 1


def test_a_log_that_is_too_short_has_its_page_all_the_same(tmp_path: Path) -> None:
    file = case_with(tmp_path, rows_of(daily(20)), ends="2025-12-10T00:00:00Z")
    done = run("-d", str(file), home=tmp_path / "var")
    assert done.returncode == 1, done.stderr
    assert "problem found a log from 2025-11-20 00:00 to 2025-12-10 00:00; needed 28d of warm-up" in done.stdout
    assert "Names of events" in done.stdout
    assert "nothing can be learnt of this log yet" in done.stdout
    _, found = checked(file, tmp_path / "var")
    assert len(found.problems) == 1
    assert found.content["outcomes"] == {}
