"""Periods of the calendar: days, weeks that start on Monday, and months, numbered in order."""

from datetime import date, timedelta
from typing import Final

import numpy as np

from features.time import Instants
from serving.published.kpis import By

#: 5 January 1970 was a Monday
_MONDAY: Final = 4

_EPOCH: Final = date(1970, 1, 1)


def period_of(days: Instants, by: By) -> Instants:
    """The number of the period of each day; days count from 1970."""
    if by == "day":
        return days
    if by == "week":
        return (days - _MONDAY) // 7
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def starts_of(periods: Instants, by: By) -> Instants:
    """The first day of each period."""
    if by == "day":
        return periods
    if by == "week":
        return periods * 7 + _MONDAY
    return periods.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def period(day: int, by: By) -> int:
    """The number of a day's period."""
    return int(period_of(np.array([day], dtype=np.int64), by)[0])


def start(number: int, by: By) -> int:
    """The first day of a period."""
    return int(starts_of(np.array([number], dtype=np.int64), by)[0])


def last_complete(last: int, by: By) -> int:
    """The newest period that ends with a day, or before it."""
    number = period(last, by)
    return number if start(number + 1, by) - 1 <= last else number - 1


def day_number(day: date) -> int:
    """A date as days since 1970."""
    return (day - _EPOCH).days


def date_of(day: int) -> date:
    """The date of a day."""
    return _EPOCH + timedelta(days=day)
