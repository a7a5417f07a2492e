"""What a log holds, whatever its signals are."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from features.local_days import days_of, zone_of
from features.time import DAY, to_datetime

#: a log with fewer rows a day has days without events
BUSY = 20

#: gaps that are named
NAMED = 3


@dataclass(frozen=True, slots=True)
class Named:
    """The rows of one name.

    Attributes:
        rows: how many.
        first: the instant of the first of them; None where no time can be read.
        last: the instant of the last.
    """

    rows: int
    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Survey:
    """What a log holds, whatever its signals are.

    Attributes:
        names: by name of event, the most frequent first.
        zoned: rows whose time is text that says its offset.
        days: rows by day since 1970, as the calendar of the time zone counts them.
        busiest: the user with most rows, and how many.
        timezone: whose days these are.
    """

    names: dict[str, Named]
    zoned: int
    days: dict[int, int] = field(default_factory=dict)
    busiest: tuple[str, int] | None = None
    timezone: str = "UTC"

    @property
    def events(self) -> dict[str, int]:
        """How many rows have each name."""
        return {name: found.rows for name, found in self.names.items()}

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(found.rows for found in self.names.values())

    def gaps(self, ends: int) -> list[str]:
        """Two days or more on which nothing happened, in a log in which much happens on most days; the longest first.

        Few events long before the others are another matter, see `features.reading.clocks`.

        Args:
            ends: the log is complete through this instant; what comes later is left out.
        """
        [last] = days_of(zone_of(self.timezone), np.array([ends - 1]))
        days = {day: rows for day, rows in self.days.items() if day <= last}
        if len(days) < 2 or float(np.median(list(days.values()))) < BUSY:
            return []
        there = sorted(day for day, rows in days.items() if rows >= BUSY / 10)
        empty = [(b - a - 1, a + 1) for a, b in pairwise(there) if b - a > 2]
        longest = sorted(empty, reverse=True)[:NAMED]
        return [
            f"{to_datetime(first * DAY):%Y-%m-%d} to {to_datetime((first + n - 1) * DAY):%Y-%m-%d} ({n} days)"
            for n, first in longest
        ]


def by_day(counts: dict[int, int], span: int, timezone: str) -> dict[int, int]:
    """Add up the rows of each day.

    Args:
        counts: rows by span of time since 1970.
        span: its length in microseconds; no day of the zone begins within one.
        timezone: whose days.
    """
    days = days_of(zone_of(timezone), np.array(list(counts), dtype=np.int64) * span).tolist()
    added: dict[int, int] = {}
    for day, rows in zip(days, counts.values(), strict=True):
        added[day] = added.get(day, 0) + rows
    return added
