"""Instants as people read them."""

from features.time import to_datetime


def day_of(at: int) -> str:
    """The day of an instant, in UTC."""
    return f"{to_datetime(at):%Y-%m-%d}"
