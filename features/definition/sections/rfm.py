"""What recency, frequency and money are measured on."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from features.definition.sections.base import Name, Span, Strict
from features.time import DAY


class RfmRule(Strict):
    """What recency, frequency and money are measured on; cut-offs are fitted once unless given here.

    Attributes:
        signal: the signal whose recency and frequency count.
        window: the time looked back on; one of ``windows``.
        money: the signal whose value is money; without it, there is no M score.
        recency_cuts: the four cut-offs between the R scores, in days, ascending.
        frequency_cuts: the four cut-offs between the F scores, in events, ascending.
        money_cuts: the four cut-offs between the M scores, ascending.
    """

    signal: Name
    window: Span = 90 * DAY
    money: Name | None = None
    recency_cuts: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None
    frequency_cuts: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None
    money_cuts: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for key in ("recency_cuts", "frequency_cuts", "money_cuts"):
            cuts = getattr(self, key)
            if cuts is not None and cuts != sorted(cuts):
                raise ValueError(f"'{key}' must ascend, found {cuts}")
        return self
