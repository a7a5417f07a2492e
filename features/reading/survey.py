"""What a log holds, whatever its signals are."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Survey:
    """What a log holds, whatever its signals are.

    Attributes:
        events: how many rows have each name, the most frequent first.
        zoned: rows whose time is text that says its offset.
    """

    events: dict[str, int]
    zoned: int
