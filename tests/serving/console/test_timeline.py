"""What a user did and was, on one axis: every event of the log and of the live path, of all ids of a person."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from features.time import to_datetime, to_instant
from segments.transitions.transition import Transition
from serving.console.drawings.timeline import LEFT, RIGHT, WIDTH, timeline
from serving.desk.user_events import UserEvent, UserEvents
from serving.desk.user_history import TransitionRecord
from tests.serving.console.conftest import Consoled
from tests.serving.console.test_published import api
from tests.serving.ingest.asking import until

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def event(days_ago: float, *signals: str) -> UserEvent:
    return UserEvent(NOW - timedelta(days=days_ago), signals, {})


def moved(days_ago: float, before: str | None, after: str | None, dimension: str = "states") -> TransitionRecord:
    at = to_instant(NOW - timedelta(days=days_ago))
    return TransitionRecord.of(Transition("u", at, dimension, before, after, "time", {}, {}, {}, "shop@1"))


def test_of_nobody_there_is_no_drawing() -> None:
    assert timeline([], [], NOW, "moved") is None


def test_one_event_at_the_instant_of_the_page_is_drawn() -> None:
    found = timeline([event(0, "visit")], [], NOW, "moved")
    assert found is not None
    assert [(lane.name, len(lane.marks)) for lane in found.lanes] == [("visit", 1)]


def test_events_lie_where_they_happened_and_each_signal_has_a_lane() -> None:
    found = timeline([event(10, "visit"), event(5, "visit", "purchase")], [], NOW, "moved")
    assert found is not None
    assert {lane.name: [mark.x for mark in lane.marks] for lane in found.lanes} == {
        "visit": [LEFT, LEFT + (WIDTH - LEFT - RIGHT) / 2],
        "purchase": [LEFT + (WIDTH - LEFT - RIGHT) / 2],
    }


def test_thousands_of_events_are_as_many_marks_as_can_be_seen() -> None:
    found = timeline([event(i / 100, "visit") for i in range(10_000)], [], NOW, "moved")
    assert found is not None
    [lane] = found.lanes
    assert len(lane.marks) <= WIDTH
    assert "more" in lane.marks[50].title


def test_no_more_than_a_year_is_drawn_and_nothing_of_the_future() -> None:
    found = timeline([event(-3, "visit"), event(1, "visit"), event(800, "visit")], [], NOW, "moved")
    assert found is not None
    assert NOW - found.first == timedelta(days=365)
    assert [len(lane.marks) for lane in found.lanes] == [1]


def test_a_state_lasts_until_the_next_one_and_the_one_before_the_first_transition_is_known() -> None:
    transitions = [moved(2, "at_risk", "active"), moved(6, "new", "at_risk"), moved(8, None, "in", "segments.carts")]
    found = timeline([event(10, "visit")], transitions, NOW, "moved")
    assert found is not None
    scale = (WIDTH - LEFT - RIGHT) / 10
    assert [(s.name, s.x, s.width) for s in found.states] == [
        ("new", LEFT, pytest.approx(4 * scale)),
        ("at_risk", LEFT + 4 * scale, pytest.approx(4 * scale)),
        ("active", LEFT + 8 * scale, pytest.approx(2 * scale)),
    ]
    assert found.lanes[0].name == "moved"
    assert "segments.carts: – → in" in found.lanes[0].marks[0].title


@pytest.mark.xdist_group("console")
def test_the_events_of_a_user_are_those_of_the_log_and_what_came_in_since(consoled: Consoled) -> None:
    world = consoled.world
    log = pl.scan_parquet(world.definition.folder / world.definition.events.path).unique("event_id")
    counted = log.group_by("user_id").len().sort("len", "user_id", descending=True).collect()
    user, count = counted.row(1)
    signals = " OR ".join(f"({rule.where})" for rule in world.definition.signals.values())
    mine = log.filter(pl.col("user_id") == user)
    expected = mine.sql(f"SELECT COUNT(*) AS n FROM self WHERE {signals}").collect().item()
    assert count >= expected > 20
    live = consoled.log
    try:
        events = UserEvents(world.definition, world.settings, live)
        now = to_instant(NOW + timedelta(hours=12))
        found = events.of(user, now, 10_000)
        assert (found.count, len(found.events), found.whole) == (expected, expected, True)
        assert [one.at for one in found.events] == sorted((one.at for one in found.events), reverse=True)
        bought = [one for one in found.events if "purchase" in one.signals]
        revenue = mine.filter(pl.col("event") == "purchase").select(pl.col("revenue").sum()).collect().item()
        assert sum(one.numbers.get("purchase.value", 0) for one in bought) == pytest.approx(revenue)
        assert len(events.of(user, now, 5).events) == 5
        assert events.of(user, to_instant(found.events[-1].at), 10).count == 1
        message = {"userId": user, "event": "purchase", "properties": {"revenue": 12.5}, "messageId": "timeline-1",
                   "timestamp": "2026-03-01T11:30:00Z"}  # fmt: skip
        assert api(consoled, "write").post("/v1/track", json=message).status_code == 200
        until(lambda: events.of(user, now, 1).count == expected + 1, 30)
        [newest] = events.of(user, now, 1).events
        assert (newest.at, newest.signals) == (to_datetime(to_instant(NOW + timedelta(hours=11.5))), ("purchase",))
        assert newest.numbers == {"purchase.value": 12.5}
    finally:
        live.close()
    visitor = consoled.visitor("viewer")
    visitor.get("/users")
    visitor.post("/users", user_id=user)
    address = visitor.page.url.path.removeprefix("/console")
    assert visitor.get(f"{address}/timeline").status_code == 200
    assert f"{expected + 1:,} events; drawn from" in visitor.text
    assert "purchase.value 12.5" in visitor.text
