"""Outcomes: questions about what happens after a moment, answered by yes or no or by an amount."""

from typing import Annotated, ClassVar, Literal, Self

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


class ValueTiers(Strict):
    """High: the top share of users by predicted amount; low: the bottom share."""

    high: Annotated[float, Field(gt=0, lt=1)] = 0.1
    low: Annotated[float, Field(gt=0, lt=1)] = 0.5

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.high + self.low > 1:
            raise ValueError(f"'high' and 'low' overlap: {self.high:g} and {self.low:g} are more than all users")
        return self


class Question(Strict):
    """What all outcomes say: about whom, and in which time after the cutoff.

    The answer lies in ``[c + gap, c + gap + within)``. ``monotone`` says which way numeric features may move it.
    """

    within: Span
    among: Sql
    gap: Span = 0
    matures_after: Span = 0
    monotone: dict[str, Literal["increasing", "decreasing"]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.within <= 0:
            raise ValueError("'within' must be longer than 0")
        return self

    @property
    def reach(self) -> int:
        """How long after a cutoff its answer is known: gap + horizon + maturity."""
        return self.gap + self.within + self.matures_after

    @property
    def when(self) -> str:
        """The time asked about, in words: ``within 14d after 2d``."""
        return f"within {span_name(self.within)}" + (f" after {span_name(self.gap)}" if self.gap else "")


class Outcome(Question):
    """A question with a yes or no answer.

    Yes for ``will``: the signal fires in ``[c + gap, c + gap + within)``; for ``will_not``: it does not.
    """

    #: what its answer is called
    answer: ClassVar[str] = "probability"

    will: Name | None = None
    will_not: Name | None = None
    tiers: TierPolicy = LiftTiers()
    profit: Profit = Profit()

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.will is None) == (self.will_not is None):
            raise ValueError("say exactly one of 'will' and 'will_not'")
        return self

    @property
    def signal(self) -> str:
        """The signal the question is about."""
        return self.will or self.will_not or ""

    @property
    def question(self) -> str:
        """The question in words: ``will not visit within 14d``."""
        return f"{'will' if self.will else 'will not'} {self.signal} {self.when}"


class ValueOutcome(Question):
    """A question with an amount for an answer: what a signal is worth, summed over ``[c + gap, c + gap + within)``.

    A sum below 0 (more was given back than bought) counts as 0.
    """

    #: what its answer is called
    answer: ClassVar[str] = "amount"

    sum_of: Name
    tiers: ValueTiers = ValueTiers()

    @property
    def signal(self) -> str:
        """The signal whose value is summed."""
        return self.sum_of

    @property
    def question(self) -> str:
        """The question in words: ``value of purchase within 30d``."""
        return f"value of {self.sum_of} {self.when}"
