"""Experiments: who gets which variant when they enter an audience, and what it is judged by."""

import math
from datetime import date
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from features.definition.dimension import Dimension
from features.definition.sections.base import Name, Strict
from features.time import parse_instant, to_datetime, to_instant

#: the variant that is sent nothing
NOTHING: Final = "nothing"


def _instant(value: object) -> object:
    """An instant as YAML has it: text, or a date that it has read already."""
    if isinstance(value, date):  # a datetime is one
        value = value.isoformat()
    return to_instant(parse_instant(value))


def _text(instant: int) -> str:
    return to_datetime(instant).isoformat()


Instant = Annotated[int, BeforeValidator(_instant), PlainSerializer(_text, return_type=str)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Experiment(Strict):
    """An experiment on the users who enter an audience.

    Attributes:
        of: the audience: ``segments.NAME``, ``states.NAME``, ``tiers.OUTCOME.TIER`` or ``rfm.GROUP``.
        destination: the destination that is sent the users of all variants but ``nothing``, with the variant's name.
        variants: the share of each variant; ``nothing`` is one of them, and they add up to 1.
        primary: the outcome it is judged by, counted from each user's own entry.
        better: whether ``more`` or ``less`` of the primary outcome is wanted.
        secondary: other outcomes, corrected for how many there are.
        starts: users who enter from this instant on take part.
        ends: users who enter from this instant on do not; without it, as long as the experiment is in the definition.
        users: how many users are planned, all variants together. With it there are planned looks; without it, intervals
            hold at any time and are about half as wide again.
        looks: how many looks are planned, each after as many more users have matured.
    """

    of: Annotated[str, Field(min_length=1)]
    destination: Name
    variants: Annotated[dict[Name, Share], Field(min_length=2, max_length=8)]
    primary: Name
    better: Literal["more", "less"]
    secondary: Annotated[list[Name], Field(max_length=20)] = Field(default_factory=list)
    starts: Instant
    ends: Instant | None = None
    users: Annotated[int, Field(ge=100)] | None = None
    looks: Annotated[int, Field(ge=1, le=20)] = 5

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if NOTHING not in self.variants:
            raise ValueError(f"one of 'variants' must be '{NOTHING}': users who are sent nothing, to compare with")
        if not math.isclose(total := sum(self.variants.values()), 1, abs_tol=1e-6):
            raise ValueError(f"the shares of 'variants' add up to {total:g}; they must add up to 1")
        if self.ends is not None and self.ends <= self.starts:
            raise ValueError(f"'ends' is {_text(self.ends)}, which is not after 'starts', {_text(self.starts)}")
        if repeated := {name for name in self.outcomes if self.outcomes.count(name) > 1}:
            raise ValueError(f"{', '.join(sorted(repeated))} is named twice in 'primary' and 'secondary'")
        return self

    @property
    def outcomes(self) -> list[str]:
        """The primary outcome, then the secondary ones."""
        return [self.primary, *self.secondary]

    @property
    def dimension(self) -> Dimension:
        """The dimension of the audience."""
        kind, _, rest = self.of.partition(".")
        named = {"tiers": f"{kind}.{rest.rpartition('.')[0]}", "segments": self.of}
        return Dimension(named.get(kind, kind))

    @property
    def value(self) -> str:
        """The dimension's value whose users are the audience; of a segment its name."""
        return self.of.rpartition(".")[2] if self.dimension.kind != "rfm" else self.of.partition(".")[2]

    def entered_by(self, dimension: str, after: str | None) -> bool:
        """Whether a transition to a value of a dimension enters the audience."""
        return after is not None and Dimension(dimension).named(after) == self.of

    def recruits(self, at: int) -> bool:
        """Whether users who enter at an instant take part."""
        return self.starts <= at and (self.ends is None or at < self.ends)

    def overlaps(self, other: "Experiment") -> bool:
        """Whether both would decide about the same user and destination."""
        apart = (self.ends is not None and self.ends <= other.starts) or (
            other.ends is not None and other.ends <= self.starts
        )
        return self.of == other.of and self.destination == other.destination and not apart
