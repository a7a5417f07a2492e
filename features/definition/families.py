"""Which families of features there are beside those that every definition has."""

from enum import StrEnum
from typing import Self

from pydantic import model_validator

from features.definition.base import Span, Strict
from features.time import DAY, span_name


class Family(StrEnum):
    """A family of features that a definition switches on.

    ``values`` are the first, last, largest and mean value of a signal's events and how far they spread; ``gaps`` the
    median and largest gap; ``calendar`` the weekday and the day of the month of the cutoff.
    """

    VALUES = "values"
    GAPS = "gaps"
    CALENDAR = "calendar"


class Features(Strict):
    """What features say.

    A gap of ``absence`` or more between two events of a signal is an absence; the event that ends it is a comeback.
    """

    families: tuple[Family, ...] = ()
    absence: Span = 30 * DAY

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if self.absence < DAY:
            raise ValueError(f"'absence' is {span_name(self.absence)}; an absence is at least a day")
        if len(set(self.families)) < len(self.families):
            raise ValueError(f"'families' repeats one: {', '.join(self.families)}")
        return self
