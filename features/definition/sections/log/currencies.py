"""How amounts of several currencies become amounts of one."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from features.definition.sections.base import Strict

#: as ISO 4217 writes them
Code = Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True, pattern=r"^[A-Za-z]{3}$")]


class Currencies(Strict):
    """The currency of all amounts, and what others are worth in it; signals with a ``currency`` are converted.

    Attributes:
        into: the currency that amounts become.
        rates: what one unit of each other currency is worth in it, such as ``{USD: 0.92}``. A row of a currency that is
            neither counts as unreadable.
    """

    into: Code
    rates: dict[Code, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _of_others(self) -> Self:
        if self.rates.get(self.into, 1.0) != 1.0:
            raise ValueError(
                f"'rates' says {self.rates[self.into]} for {self.into}, which is 1: amounts become {self.into}"
            )
        return self

    @property
    def worth(self) -> dict[str, float]:
        """What one unit of each known currency is worth."""
        return {self.into: 1.0, **self.rates}
