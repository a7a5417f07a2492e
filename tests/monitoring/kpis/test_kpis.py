"""KPIs are those of sets of users in plain Python, and what comes, stays and goes adds up."""

import tempfile
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import PropensityError
from features.events.events import Events
from features.events.log import InMemory
from features.open_log import open_log
from features.settings import Settings
from features.system.progress import unseen
from features.time import DAY, HOUR, parse_instant, to_instant
from monitoring.kpis.audiences import MEMBERS
from monitoring.kpis.kpis import kpis
from serving.published.kpis import By, Kpis
from tests.monitoring.kpis.plain import Plain
from tests.oracle import Event
from tests.worlds import definition_of, events_of

ZONES = ("UTC", "America/New_York", "Pacific/Apia", "Europe/Berlin")
#: in the middle of a week and of a month, a few weeks before clocks change in Europe
START = 20_500 * DAY


def definition(zone: str = "UTC") -> Any:
    churn = {"will_not": "visit", "within": "3d", "gap": "1d", "among": "days_since_visit < 28"}
    buy = {"will": "purchase", "within": "7d", "among": "days_since_visit < 28"}
    return definition_of(timezone=zone, outcomes={"churn": churn, "buy": buy})


def audiences(**members: list[str]) -> Any:
    """Segments with given members, and nothing of how they came to be."""
    rows = [(user, code) for code, users in enumerate(members.values(), 1) for user in users]
    frame = pl.DataFrame(rows, schema=MEMBERS, orient="row")
    return SimpleNamespace(numbered=lambda: (frame, list(members)), over_time=lambda since, by: [])


def found_in(events: Events, rules: Any, of: Any, **options: Any) -> Kpis:
    with tempfile.TemporaryDirectory() as folder:
        return kpis(InMemory(events), rules, of, Path(folder) / "kpis", **options)


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Up to seven users over up to ten weeks."""
    length = draw(st.integers(2, 70)) * 24
    moments = st.tuples(st.integers(0, 6), st.integers(0, length), st.sampled_from(["visit", "visit", "purchase"]))
    drawn = draw(st.lists(moments, min_size=1, max_size=40, unique_by=lambda m: m[:2]))
    return [
        Event(f"u{user}", START + hour * HOUR, (signal,), float(1 + hour % 5) * (-1 if hour % 7 == 0 else 1))
        for user, hour, signal in drawn
    ]


@settings(max_examples=60)
@given(logs(), st.sampled_from(ZONES), st.sampled_from(["day", "week", "month"]), st.sets(st.integers(0, 6)))
def test_kpis_are_those_of_sets_of_users(log: list[Event], zone: str, by: By, chosen: set[int]) -> None:
    rules = definition(zone)
    events = events_of(rules, log)
    mine = frozenset(f"u{i}" for i in chosen)
    everybody = Plain(rules, log, events.ends, frozenset(e.user for e in log))
    if not everybody.periods(by):
        with pytest.raises(PropensityError, match="has no complete"):
            found_in(events, rules, audiences(some=sorted(mine)), by=by)
        return
    found = found_in(events, rules, audiences(some=sorted(mine)), by=by)
    assert found.through == everybody.last
    for group, plain in zip(found.groups, (everybody, Plain(rules, log, events.ends, mine)), strict=True):
        for i, day in enumerate(group.days):
            days = plain.days[: i + 1]
            assert day.day == days[-1]
            assert day.daily == len(plain.active(days[-1:]))
            assert day.weekly == (len(plain.active(days[-7:])) if i >= 6 else None)
            assert day.monthly == (len(plain.active(days[-30:])) if i >= 29 else None)
            assert day.stickiness == (day.daily / day.monthly if day.monthly else None)
        periods = plain.periods(by)
        assert [one.starts for one in group.periods] == [days[0] for days in periods]
        flows = [(p.active, p.new, p.retained, p.resurrected, p.lost) for p in group.periods]
        assert flows == plain.flows(by)
        for period, days in zip(group.periods, periods, strict=True):
            assert period.value == pytest.approx(plain.value(days))
            assert period.outcomes["buy"].users == plain.did("purchase", days)
            assert period.outcomes["churn"].users == plain.stayed_away("churn", days)
        cohorts = {c.starts: [round(share * c.users) for share in c.retained] for c in group.cohorts}
        assert cohorts == plain.cohorts(found.cohorts_by)


@settings(max_examples=30)
@given(logs(), st.sampled_from(["day", "week"]))
def test_what_comes_stays_and_goes_adds_up(log: list[Event], by: By) -> None:
    rules = definition()
    log = [*log, Event("u0", START, ("visit",)), Event("u1", START + 20 * DAY, ("visit",))]
    found = found_in(events_of(rules, log), rules, audiences(), by=by)
    before = 0
    for period in found.groups[0].periods:
        assert period.active == period.new + period.retained + period.resurrected
        assert period.lost == before - period.retained
        before = period.active


def test_since_shows_less_and_counts_the_same() -> None:
    rules = definition()
    log = [Event("u0", START, ("visit",)), Event("u0", START + 20 * DAY, ("visit",)), Event("u1", START, ("visit",))]
    whole, late = (
        found_in(events_of(rules, log), rules, audiences(), since=since) for since in (None, date(2026, 2, 28))
    )
    assert late.since == date(2026, 2, 28)
    assert late.groups[0].days == whole.groups[0].days[-len(late.groups[0].days) :]
    assert 0 < len(late.groups[0].periods) < len(whole.groups[0].periods)
    assert late.groups[0].periods == whole.groups[0].periods[-len(late.groups[0].periods) :]


def test_since_after_the_end_is_refused() -> None:
    rules = definition()
    log = [Event("u0", START, ("visit",)), Event("u0", START + 20 * DAY, ("visit",))]
    with pytest.raises(PropensityError, match=r"--since 2030-01-01 is after 2026-\d\d-\d\d, the last complete day"):
        found_in(events_of(rules, log), rules, audiences(), since=date(2030, 1, 1))


def test_a_log_without_a_complete_day_is_refused() -> None:
    rules = definition()
    events = events_of(rules, [Event("u0", START + HOUR, ("visit",))])
    with pytest.raises(PropensityError, match="no complete day"):
        found_in(type(events)(events.users, events.starts, events.t, events.visible, events.mask, events.values,
                              START + 2 * HOUR), rules, audiences())  # fmt: skip


def test_periods_are_days_where_there_is_no_complete_week() -> None:
    rules = definition()
    log = [Event("u0", START, ("visit",)), Event("u0", START + 2 * DAY, ("visit",))]
    assert found_in(events_of(rules, log), rules, audiences()).by == "day"


def test_persons_are_counted_and_not_their_ids(tmp_path: Path) -> None:
    """One person of two ids, known to be one from the third day on, and another of one id."""
    at = [START, START + 2 * DAY, START + 2 * DAY + HOUR, START + 9 * DAY, START + 20 * DAY]
    rows = {"user_id": ["anon-7", "u7", "anon-7", "u7", "u8"], "other": [None, "anon-7", None, None, None],
            "event": ["visit"] * 5, "event_time": at}  # fmt: skip
    log = pl.DataFrame(rows).with_columns(pl.col("event_time").cast(pl.Datetime("us", "UTC")))
    log.write_parquet(tmp_path / "log.parquet")
    events = {"path": str(tmp_path / "log.parquet"), "ends": "2026-03-20T00:00:00Z",
              "columns": {"user": "user_id", "event": "event", "time": "event_time"}}  # fmt: skip
    signals = {"visit": {"where": "event = 'visit'", "activity": True}}
    counts = {}
    for name, more in {"merged": {"identities": {"alias": "other"}}, "apart": {}}.items():
        rules = definition_of(name=name, events=events, signals=signals, **more)
        ends = to_instant(parse_instant("2026-03-20"))
        opened = open_log(rules, Settings(home=tmp_path / "var"), ends=ends, steps=unseen)
        found = kpis(opened, rules, audiences(one=["u7"]), tmp_path / "kpis", by="day")
        counts[name] = [sum(p.new for p in found.groups[0].periods), found.groups[1].periods[0].active]
    assert counts == {"merged": [2, 1], "apart": [3, 0]}
