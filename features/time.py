"""Instants, spans and the edge rule.

Features at a cutoff ``c`` use events with ``event_time < c`` and ``arrived_at <= c``; labels use
``[c + gap, c + gap + horizon)``. Instants are integers: microseconds since 1970 in UTC. A day is 86,400 s.
"""

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from features.errors import PropensityError, shown

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 3_600 * SECOND
DAY = 86_400 * SECOND

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_SPAN = re.compile(r"^([0-9]{1,12})\s*([smhdw])$")

#: a hundred years; longer ones would leave the dates that can be written
LONGEST_SPAN = 36_525 * DAY

Instants = NDArray[np.int64]


def parse_span(value: object) -> int:
    """Read a span of time.

    Args:
        value: ``14`` (days) or ``"30m"``, ``"24h"``, ``"14d"``, ``"2w"``.

    Returns:
        Microseconds, at least 0.

    Raises:
        ValueError: the text is not a span.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        span = value * DAY
    else:
        match = _SPAN.match(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"{shown(value)} is not a span of time; write a number of days or 30m, 24h, 14d, 2w")
        span = int(match[1]) * _UNITS[match[2]]
    if span > LONGEST_SPAN:
        raise ValueError(f"{shown(value)} is longer than {span_name(LONGEST_SPAN)}, the longest span there is")
    return span


class Clock:
    """The service's clock.

    Args:
        start: the instant it shows when it is made, for replays and demonstrations; it runs on from there. The
            machine's clock when left out.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._ahead = to_instant(start) - time.time_ns() // 1_000 if start is not None else 0

    def now(self) -> int:
        """Microseconds since 1970 in UTC."""
        return time.time_ns() // 1_000 + self._ahead


@lru_cache
def span_name(span: int) -> str:
    """Name a span the way feature names do: ``14d``, ``24h``, ``30m``."""
    for unit, size in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if span % size == 0:
            return f"{span // size}{unit}"
    return f"{span // SECOND}s"


def to_instant(moment: datetime) -> int:
    """Convert an aware datetime to microseconds since 1970 in UTC.

    Raises:
        PropensityError: the datetime has no time zone.
    """
    if moment.tzinfo is None:
        raise PropensityError(f"{moment.isoformat()} has no time zone.", fix="add Z or +00:00")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def day_of(instant: int) -> str:
    """The day of an instant in UTC, as people read it."""
    return f"{to_datetime(instant):%Y-%m-%d}"


def parse_instant(text: object) -> datetime:
    """Read an instant as people and programs write it: ``2026-03-01`` (midnight) or ``2026-03-01T10:00:00Z``.

    Args:
        text: ISO 8601; without a zone it is UTC.

    Returns:
        An aware datetime in UTC.

    Raises:
        ValueError: it is not an instant, or is outside the years 1 to 9999 in UTC.
    """
    try:
        moment = datetime.fromisoformat(text.strip()) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{str(text)[:60]!r} is not an instant; write 2026-03-01 or 2026-03-01T10:00:00Z")
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError(f"{str(text)[:60]!r} lies outside the years 1 to 9999 of UTC") from error


def to_datetime(instant: int) -> datetime:
    """Convert microseconds since 1970 to an aware UTC datetime."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(instant))


def schedule(*, newest: int, stride: int, count: int, spread: bool) -> Instants:
    """Cutoffs that step back from the newest one.

    Args:
        newest: the last cutoff may not be later than this instant.
        stride: distance between two cutoffs, in microseconds.
        count: how many cutoffs.
        spread: move each cutoff back within its day by a different, fixed share of the day, so that a model
            does not learn one time of day only. The newest cutoff stays.

    Returns:
        Ascending instants, the last equal to ``newest``.
    """
    steps = np.arange(count, dtype=np.int64)
    cutoffs = newest - steps * stride
    if spread:
        # multiples of the golden ratio cover the day evenly whatever the count
        hours = np.floor((steps * 0.6180339887498949 % 1.0) * 24).astype(np.int64)
        cutoffs = cutoffs - hours * HOUR
    return cutoffs[::-1].copy()
