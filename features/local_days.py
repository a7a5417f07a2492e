"""Days of a place: how far its clocks are from UTC, and since when.

Where clocks go back over midnight, the day that they leave would end twice; here they go back at midnight, so that a
day is one piece of time.
"""

from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
from numpy.typing import NDArray

from features.time import DAY, SECOND, Instants, to_datetime, to_instant

#: between these, clocks are known; before and after they stand as they did then
FIRST, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

#: clocks never change twice within so long; looking every day takes half a second
STEP = 7 * DAY

#: ``[2, changes]``: from the instant ``[0, i]`` on, clocks are ``[1, i]`` microseconds ahead of UTC
Zone = NDArray[np.int64]


def checked_timezone(name: str) -> str:
    """Return the name of a time zone.

    Raises:
        ValueError: there is none of that name.
    """
    known = available_timezones()
    if name in known:
        return name
    near = get_close_matches(name.replace(" ", "_"), [*known, *(zone.rpartition("/")[2] for zone in known)], n=1)
    whole = next((zone for zone in sorted(known) if near and zone.rpartition("/")[2] == near[0]), *near or ["UTC"])
    raise ValueError(f"{name[:60]!r} is not a time zone; write {whole}, or another name such as Europe/Berlin or UTC")


@lru_cache(maxsize=16)
def zone_of(name: str) -> Zone:
    """When the clocks of a time zone change, and to what; one entry for a zone whose clocks never change.

    Args:
        name: of the IANA time zone database, such as ``America/New_York``.

    Returns:
        Ascending, the first from before all instants. Not to be written to.
    """
    if name == "UTC":
        return _read_only(np.array([[np.iinfo(np.int64).min], [0]], dtype=np.int64))
    place = ZoneInfo(name)
    days = np.arange(to_instant(FIRST), to_instant(END) + STEP, STEP)
    offsets = [_ahead(place, day) for day in days.tolist()]
    starts, ahead = [np.iinfo(np.int64).min], [offsets[0]]
    for (begin, end), (before, after) in zip(pairwise(days.tolist()), pairwise(offsets), strict=True):
        if before == after:
            continue
        while end - begin > SECOND:
            middle = (begin + end) // 2 // SECOND * SECOND
            begin, end = (middle, end) if _ahead(place, middle) == before else (begin, middle)
        midnight = (end - 1 + before) // DAY * DAY - before
        starts.append(min(end, midnight) if (end - 1 + before) // DAY > (end + after) // DAY else end)
        ahead.append(after)
    return _read_only(np.array([starts, ahead], dtype=np.int64))


def days_of(zone: Zone, instants: Instants) -> Instants:
    """The day since 1970 of each instant, as the zone's calendar counts them."""
    days: Instants = (instants + zone[1, np.searchsorted(zone[0], instants, side="right") - 1]) // DAY
    return days


def starts_of(zone: Zone, days: Instants) -> Instants:
    """The first instant of each day since 1970; of a date that was left out, that of the next one.

    Args:
        zone: as `zone_of` makes it.
        days: days as `days_of` counts them.
    """
    clocks = zone[0] + np.maximum(zone[1], 0)  # the first entry is the smallest number there is
    clocks[1:] = zone[0, 1:] + zone[1, 1:]
    midnight = days * DAY
    at = np.maximum(np.searchsorted(clocks, midnight, side="right") - 1, 0)
    starts: Instants = midnight - zone[1, at]
    after = np.minimum(at + 1, zone.shape[1] - 1)
    # where clocks skip over midnight, the day begins when they do
    return np.where((after > at) & (starts >= zone[0, after]), zone[0, after], starts)


def _read_only(zone: Zone) -> Zone:
    zone.flags.writeable = False
    return zone


def _ahead(place: ZoneInfo, instant: int) -> int:
    offset = to_datetime(instant).astimezone(place).utcoffset()
    return round(offset.total_seconds()) * SECOND if offset is not None else 0
