"""An outcome: a question with a yes or no answer, its tiers, and what acting on it costs and brings."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from features.definition.base import Name, Span, Sql, Strict
from features.time import span_name


class LiftTiers(Strict):
    """Most likely: at least ``most`` times the base rate; least likely: at most ``least`` times."""

    by: Literal["lift"] = "lift"
    most: Annotated[float, Field(gt=1)] = 2.0
    least: Annotated[float, Field(gt=0, lt=1)] = 0.5


class CapacityTiers(Strict):
    """Most likely: the top share of users; least likely: the bottom share."""

    by: Literal["capacity"]
    most: Annotated[float, Field(gt=0, lt=1)] = 0.1
    least: Annotated[float, Field(gt=0, lt=1)] = 0.5


class FixedTiers(Strict):
    """Tiers by two fixed probabilities."""

    by: Literal["fixed"]
    most: Annotated[float, Field(gt=0, lt=1)]
    least: Annotated[float, Field(gt=0, lt=1)]


class ProfitTiers(Strict):
    """Most likely: where contacting a user earns more than it costs (`Profit`); least likely: below half of that."""

    by: Literal["profit"]


class Profit(Strict):
    """What contacting a user costs and brings: ``p * (accept * value - incentive) - contact`` is expected.

    The defaults are those of the expected maximum profit measure for churn (Verbraken et al. 2013: acceptance 0.3 is
    the mean of Beta(6, 14)); put your own numbers in.
    """

    contact: Annotated[float, Field(gt=0)] = 1.0
    incentive: Annotated[float, Field(ge=0)] = 10.0
    accept: Annotated[float, Field(gt=0, le=1)] = 0.3
    value: Annotated[float, Field(gt=0)] = 200.0

    @property
    def gain(self) -> float:
        """What a contacted user who would do it brings, before the contact is paid."""
        return self.accept * self.value - self.incentive


TierPolicy = Annotated[LiftTiers | CapacityTiers | FixedTiers | ProfitTiers, Field(discriminator="by")]


class Outcome(Strict):
    """A question with a yes or no answer after the horizon.

    Yes for ``will``: the signal fires in ``[c + gap, c + gap + within)``; for ``will_not``: it does not. ``monotone``
    says of numeric features which way they may move the likelihood.
    """

    will: Name | None = None
    will_not: Name | None = None
    within: Span
    among: Sql
    gap: Span = 0
    matures_after: Span = 0
    tiers: TierPolicy = LiftTiers()
    profit: Profit = Profit()
    monotone: dict[str, Literal["increasing", "decreasing"]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.will is None) == (self.will_not is None):
            raise ValueError("say exactly one of 'will' and 'will_not'")
        if self.within <= 0:
            raise ValueError("'within' must be longer than 0")
        return self

    @property
    def signal(self) -> str:
        """The signal the question is about."""
        return self.will or self.will_not or ""

    @property
    def question(self) -> str:
        """The question in words: ``will not visit within 14d``."""
        after = f" after {span_name(self.gap)}" if self.gap else ""
        return f"{'will' if self.will else 'will not'} {self.signal} within {span_name(self.within)}{after}"

    @property
    def reach(self) -> int:
        """How long after a cutoff its label is known: gap + horizon + maturity."""
        return self.gap + self.within + self.matures_after
