"""Batches that did not run, old profiles, segments that jump and destinations that are stuck are named, others not."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.time import DAY, HOUR
from monitoring.findings import Finding
from monitoring.operations import Running, operational
from serving.published.kpis import Audience, AudienceDay
from tests.serving.activation.scenes import Scene, going_to
from tests.worlds import definition_of

NOW = 200 * DAY
NIGHTS = [NOW - i * DAY for i in range(20, -1, -1)]
NONE_WAITS = pl.DataFrame(schema={"destination": pl.String, "waiting": pl.Int64})


def named(**changes: Any) -> list[Finding]:
    well: dict[str, Any] = {"batches": NIGHTS, "profiles": NOW, "audiences": [], "outbox": NONE_WAITS}
    as_of = changes.pop("as_of", NOW)
    return operational(Running(**(well | changes)), definition_of(), as_of)


def segment(sizes: list[int], name: str = "segments.cart") -> Audience:
    days = [
        AudienceDay(day=date(2026, 1, 1) + timedelta(days=i), size=size, entered=max(1, size), left=0)
        for i, size in enumerate(sizes)
    ]
    return Audience(name=name, days=days)


def test_where_all_is_well_nothing_is_named() -> None:
    assert named() == []
    assert named(profiles=None, batches=[]) == []


@pytest.mark.parametrize(("days", "found"), [(2, 0), (2.1, 1), (9, 1)])
def test_a_batch_is_late_after_twice_the_usual_interval(days: float, found: int) -> None:
    late = named(as_of=NOW + int(days * DAY), profiles=NOW + 9 * DAY)
    assert [one.name for one in late] == ["batch_missing"] * found
    assert all(one.alarm and "1.0 days is usual" in one.words and "propensity nightly" in one.action for one in late)


def test_weekly_batches_are_late_after_two_weeks() -> None:
    weeks = [NOW - i * 7 * DAY for i in range(6, -1, -1)]
    assert named(batches=weeks, as_of=NOW + 13 * DAY, profiles=NOW + 13 * DAY) == []
    assert named(batches=weeks, as_of=NOW + 15 * DAY, profiles=NOW + 15 * DAY)[0].name == "batch_missing"
    assert named(batches=weeks[-2:], as_of=NOW + 90 * DAY, profiles=NOW + 90 * DAY) == [], "no interval is usual yet"


def test_profiles_are_old_when_users_are_not_scored_any_more() -> None:
    limit = definition_of().scoring.max_age
    assert named(profiles=NOW - limit) == []
    [old] = named(profiles=NOW - limit - HOUR)
    assert (old.outcome, old.name, old.alarm) == ("profiles", "profiles_old", True)
    assert "propensity materialize" in old.action


def test_a_segment_that_jumps_is_a_note_and_its_usual_noise_is_none() -> None:
    rng = np.random.default_rng(1)
    quiet = 0
    for _ in range(200):
        sizes = [int(n) for n in rng.poisson(400, 30)]
        quiet += not named(audiences=[segment(sizes)])
        [jump] = named(audiences=[segment([*sizes[:-1], 1_200])])
        assert (jump.outcome, jump.name, jump.alarm) == ("segments.cart", "segment_jumped", False)
        assert "to 1,200 users" in jump.words
    assert quiet >= 198


def test_a_few_users_a_short_history_and_states_are_no_jump() -> None:
    assert named(audiences=[segment([10] * 10 + [35])]) == [], "25 users"
    assert named(audiences=[segment([100] * 6 + [900])]) == [], "too few changes say what is usual"
    assert named(audiences=[segment([100] * 20 + [900], "states.new")]) == []
    assert named(audiences=[segment([100] * 20 + [131])])[0].name == "segment_jumped"


def test_a_destination_is_stuck_when_messages_wait_for_hours(set_scene: Callable[..., Scene]) -> None:
    scene = set_scene({"hook": going_to("http://127.0.0.1:9/")})
    scene.enter("u1", "u2")
    outbox = scene.memberships.outbox
    put = scene.clock.now()
    assert named(outbox=outbox.status(), as_of=put + 6 * HOUR, batches=[], profiles=None) == []
    [stuck] = named(outbox=outbox.status(), as_of=put + 7 * HOUR, batches=[], profiles=None)
    assert (stuck.outcome, stuck.name, stuck.alarm) == ("destinations.hook", "destination_stuck", True)
    assert "2 messages wait" in stuck.words
    assert outbox.claim("hook", "a sender", 10) is not None
    for _ in range(5):
        outbox.wait("hook", put, "HTTP 500")
    [failing] = named(outbox=outbox.status(), as_of=put, batches=[], profiles=None)
    assert "5 requests failed" in failing.words
    assert "HTTP 500" in failing.words
    outbox.pause("hook", paused=True)
    [paused] = named(outbox=outbox.status(), as_of=put, batches=[], profiles=None)
    assert "it is paused" in paused.words
