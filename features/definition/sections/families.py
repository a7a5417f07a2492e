"""Which families of features there are beside those that every definition has."""

from enum import StrEnum
from typing import Self

from pydantic import model_validator

from features.definition.sections.base import Span, Strict
from features.time import DAY, MINUTE, span_name


class Family(StrEnum):
    """A family of features that a definition switches on.

    ``values`` are the first, last, largest and mean value of a signal's events and how far they spread; ``gaps`` the
    median and largest gap; ``sessions`` count them, and the events of one; ``calendar`` are the weekday and the day of
    the month of the cutoff.
    """

    VALUES = "values"
    GAPS = "gaps"
    SESSIONS = "sessions"
    CALENDAR = "calendar"


class Features(Strict):
    """Which features there are beside those that every definition has.

    Attributes:
        families: the families of features to add.
        absence: how long the gap between two events of a signal must be to count as an absence, at least a day; the
            event that ends an absence is a comeback.
        session: how long a signal must be silent for its session to end.
    """

    families: tuple[Family, ...] = ()
    absence: Span = 30 * DAY
    session: Span = 30 * MINUTE

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if self.absence < DAY:
            raise ValueError(f"'absence' is {span_name(self.absence)}; an absence is at least a day")
        if self.session <= 0:
            raise ValueError("'session' is 0; write the silence that ends a session, such as 30m")
        if len(set(self.families)) < len(self.families):
            raise ValueError(f"'families' repeats one: {', '.join(self.families)}")
        return self
