"""Who is in a segment or state over time: sizes that entries and exits add up to."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from features.time import DAY, Clock
from monitoring.kpis.audiences import Audiences
from segments.transitions.membership import IN
from serving.activation.memberships import Memberships
from serving.database.log.live_log import LiveLog
from serving.database.schema import connect
from serving.published.kpis import AudienceDay, AudiencePeriod
from tests.segments.worlds import moving
from tests.serving.activation.scenes import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Five users who are active on the day that ends at 100 days; two of them, and a new one, put things into carts."""
    opened = Scene.set(f"sqlite:///{tmp_path / 'live.db'}", {})
    opened.enter("u0", "u1", "u9")
    opened.complete()
    opened.enter("u1", cart=False)
    opened.say({"u2": {"states": "silent"}})
    opened.complete()
    yield opened
    opened.close()


def test_sizes_are_those_that_entries_and_exits_lead_to(scene: Scene) -> None:
    found = {one.name: one.days for one in Audiences(scene.definition, scene.memberships).over_time(0)}
    days = [date(1970, 1, 1).fromordinal(date(1970, 1, 1).toordinal() + day) for day in (99, 100, 101)]
    assert found["segments.cart"] == [
        AudienceDay(day=days[0], size=0, entered=0, left=0),
        AudienceDay(day=days[1], size=3, entered=3, left=0),
        AudienceDay(day=days[2], size=2, entered=0, left=1),
    ]
    assert [(one.size, one.entered, one.left) for one in found["states.active"]] == [(5, 0, 0), (6, 1, 0), (5, 0, 1)]
    assert [(one.size, one.entered, one.left) for one in found["states.silent"]] == [(0, 0, 0), (0, 0, 0), (1, 1, 0)]
    assert "segments.regular" not in found, "nobody was ever in it"


def test_churn_by_a_state_is_a_rate_of_those_who_were_elsewhere(scene: Scene) -> None:
    scene.say({"u3": {"states": "silent"}, "u4": {"states": "silent"}, "new": {"states": "silent"}})
    scene.complete()
    found = {one.name: one for one in Audiences(scene.definition, scene.memberships).over_time(0, "day")}
    silent = found["states.silent"]
    assert [one.rate for one in silent.days] == [None, 0.0, 1 / 6, 2 / 5], "who is new came from no state"
    assert [(one.entered, one.others, one.rate) for one in silent.periods] == [
        (0, 5, 0.0),
        (1, 6, 1 / 6),
        (2, 5, 2 / 5),
    ]
    assert silent.periods[0].starts == silent.days[1].day, "nobody is known before the first day"
    assert {one.rate for one in found["segments.cart"].days} == {None}
    assert found["segments.cart"].periods == []
    for _ in range(9):
        scene.complete()
    weekly = {one.name: one for one in Audiences(scene.definition, scene.memberships).over_time(0)}
    week = AudiencePeriod(starts=date(1970, 4, 13), entered=2, others=5, rate=0.4)
    assert weekly["states.silent"].periods == [week], "the week before begins before the first batch"


def test_only_days_since_one_are_shown(scene: Scene) -> None:
    found = Audiences(scene.definition, scene.memberships).over_time(101)
    assert {len(one.days) for one in found} == {1}
    assert next(one for one in found if one.name == "segments.cart").days[0].size == 2


def test_members_are_those_of_now(scene: Scene) -> None:
    members, names = Audiences(scene.definition, scene.memberships).numbered()
    assert names == ["cart"]
    assert sorted(members.rows()) == [("u0", 1), ("u9", 1)]


def test_days_are_those_of_the_definitions_time_zone(tmp_path: Path) -> None:
    """At three in the morning of UTC it is still the evening before in New York."""
    scene = Scene.set(f"sqlite:///{tmp_path / 'zone.db'}", {}, timezone="America/New_York")
    scene.say({"u0": {"states": "active", "segments.cart": IN}}, at=100 * DAY + DAY // 8)
    found = Audiences(scene.definition, scene.memberships).over_time(0)
    scene.close()
    cart = next(one for one in found if one.name == "segments.cart").days
    assert [(one.day.toordinal() - date(1970, 1, 1).toordinal(), one.entered) for one in cart] == [(99, 1)]


def test_before_the_first_batch_nothing_is_known(tmp_path: Path) -> None:
    live, rules = LiveLog(connect(f"sqlite:///{tmp_path / 'fresh.db'}")), moving()
    found = Audiences(rules, Memberships(rules, live, Clock()))
    assert not found.known
    assert found.over_time(0) == []
    assert found.numbered()[1] == []
    live.close()
