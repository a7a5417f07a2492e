"""Days of a place are those of its calendar, whatever its clocks do."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features.definition.columns import feature_set
from features.local_days import days_of, starts_of, zone_of
from features.profile.kernel.days import day_of
from features.time import DAY, SECOND, to_datetime, to_instant
from tests.worlds import definition_of

#: changes at midnight, over midnight, of half an hour, of a whole day, in daylight time all summer, and none
ZONES = (
    "America/New_York", "America/Sao_Paulo", "America/Asuncion", "Africa/Cairo", "Australia/Lord_Howe",
    "Asia/Kathmandu", "Pacific/Apia", "Europe/Berlin", "Africa/Casablanca", "Etc/GMT+5", "UTC",
)  # fmt: skip
EPOCH = date(1970, 1, 1)

instants = st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC)).map(to_instant)


@given(st.sampled_from(ZONES), instants)
def test_a_day_is_that_of_the_calendar(name: str, instant: int) -> None:
    reported = (to_datetime(instant).astimezone(ZoneInfo(name)).date() - EPOCH).days
    assert days_of(zone_of(name), np.array([instant])).tolist() == [reported]
    assert day_of(zone_of(name), instant) == reported


@pytest.mark.parametrize("name", ZONES)
def test_a_day_begins_when_the_one_before_is_over(name: str) -> None:
    """All days of thirty years, those that a zone left out with the ones after them."""
    days = np.arange((date(1995, 1, 1) - EPOCH).days, (date(2025, 1, 1) - EPOCH).days)
    starts = starts_of(zone_of(name), days)
    there = days_of(zone_of(name), starts) == days
    assert (days_of(zone_of(name), starts - 1) < days).all()
    assert (days_of(zone_of(name), starts) >= days).all()
    assert (~there).sum() == (1 if name == "Pacific/Apia" else 0)


@pytest.mark.parametrize("name", ZONES)
def test_every_change_of_clocks_is_known_to_the_second(name: str) -> None:
    place = ZoneInfo(name)
    for instant in zone_of(name)[0, 1:].tolist():
        for near in (instant - 1, instant, instant + SECOND):
            reported = (to_datetime(near).astimezone(place).date() - EPOCH).days
            assert day_of(zone_of(name), near) == reported, (name, to_datetime(near))


@pytest.mark.parametrize("name", [*ZONES, "America/St_Johns", "America/Toronto", "Asia/Manila"])
def test_days_are_one_piece_of_time_each(name: str) -> None:
    """In St John's, clocks went back at one minute after midnight: that day began twice."""
    changes = zone_of(name)[0, 1:]
    assert np.all(np.diff(changes) > 0)
    near = (
        np.sort((changes[:, None] + np.arange(-90, 91) * 60 * SECOND).ravel()) if changes.size else np.arange(3) * DAY
    )
    assert np.all(np.diff(days_of(zone_of(name), near)) >= 0)


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-07", 24), ("2026-03-08", 23), ("2026-03-09", 24), ("2026-11-01", 25)]
)
def test_days_of_23_and_25_hours(day: str, hours: int) -> None:
    zone, midnight = (
        zone_of("America/New_York"),
        datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("America/New_York")),
    )
    begins = to_instant(midnight.astimezone(UTC))
    inside = days_of(zone, begins + np.array([-1, 0, hours * 3_600 * SECOND - 1, hours * 3_600 * SECOND]))
    assert np.diff(inside).tolist() == [1, 0, 1]
    assert to_datetime(int(inside[1]) * DAY).date() == midnight.date()


def test_far_ahead_clocks_stand_still() -> None:
    zone = zone_of("America/New_York")
    far = to_instant(datetime(2500, 7, 1, 4, 30, tzinfo=UTC))
    assert to_datetime(day_of(zone, far) * DAY).date() == date(2500, 6, 30)
    assert zone.shape[1] < 400
    with pytest.raises(ValueError, match="read-only"):
        zone[0, 0] = 1


@pytest.mark.parametrize(
    ("written", "says"),
    [("New York", "America/New_York"), ("europe/berlin", "Europe/Berlin"), ("Mars/Phobos", "UTC"), ("", "UTC"),
     ("../UTC", "UTC")],
)  # fmt: skip
def test_what_is_no_time_zone_is_refused_with_one_that_is(written: str, says: str) -> None:
    with pytest.raises(ValidationError, match=f"is not a time zone; write .*{says}"):
        definition_of(timezone=written)


def test_utc_is_what_definitions_meant_before() -> None:
    before, utc, york = definition_of(), definition_of(timezone="UTC"), definition_of(timezone="America/New_York")
    assert before.digest == utc.digest != york.digest
    assert feature_set(before).digest == feature_set(utc).digest != feature_set(york).digest
    assert feature_set(before).read == feature_set(york).read
    assert timedelta(microseconds=int(zone_of("UTC")[1, 0])) == timedelta(0)
