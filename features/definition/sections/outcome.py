"""Outcomes: questions about what happens after a moment, answered by yes or no or by an amount."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from features.definition.sections.base import Name, Span, Sql, Strict
from features.time import span_name


class LiftTiers(Strict):
    """Tiers by lift: by how many times the base rate a likelihood is.

    Attributes:
        by: the policy.
        most: most likely from this many times the base rate on.
        least: least likely up to this many times the base rate.
    """

    by: Literal["lift"] = "lift"
    most: Annotated[float, Field(gt=1)] = 2.0
    least: Annotated[float, Field(gt=0, lt=1)] = 0.5


class CapacityTiers(Strict):
    """Tiers by capacity: by shares of users.

    Attributes:
        by: the policy.
        most: this top share of users is most likely.
        least: this bottom share of users is least likely.
    """

    by: Literal["capacity"]
    most: Annotated[float, Field(gt=0, lt=1)] = 0.1
    least: Annotated[float, Field(gt=0, lt=1)] = 0.5


class FixedTiers(Strict):
    """Tiers by two fixed probabilities.

    Attributes:
        by: the policy.
        most: most likely from this probability on.
        least: least likely up to this probability.
    """

    by: Literal["fixed"]
    most: Annotated[float, Field(gt=0, lt=1)]
    least: Annotated[float, Field(gt=0, lt=1)]


class ProfitTiers(Strict):
    """Tiers by profit.

    Most likely: contacting the user earns more than it costs (see ``profit``); least likely: below half of that.

    Attributes:
        by: the policy.
    """

    by: Literal["profit"]


class Profit(Strict):
    """What contacting a user costs and brings: ``p * (accept * value - incentive) - contact`` is expected.

    The defaults are those of the expected maximum profit measure for churn (Verbraken et al. 2013: acceptance 0.3 is
    the mean of Beta(6, 14)); put your own numbers in.

    Attributes:
        contact: what it costs to contact a user.
        incentive: what the incentive costs, for a user who would do what the outcome asks about.
        accept: the share of contacted users who accept the offer.
        value: what a user who accepts brings.
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
    """Tiers of a value outcome; the cut-offs are frozen in the model card.

    Attributes:
        high: this top share of users by predicted amount is high.
        low: this bottom share is low.
    """

    high: Annotated[float, Field(gt=0, lt=1)] = 0.1
    low: Annotated[float, Field(gt=0, lt=1)] = 0.5

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.high + self.low > 1:
            raise ValueError(f"'high' and 'low' overlap: {self.high:g} and {self.low:g} are more than all users")
        return self


class Question(Strict):
    """What all outcomes say: about whom, and in which time after the cutoff.

    The answer lies in ``[c + gap, c + gap + within)``.

    Attributes:
        within: the horizon: how far ahead the question asks.
        among: the population: an SQL condition over the feature row; only users for whom it holds get an answer.
        gap: the distance from the cutoff to the start of the label window.
        matures_after: how late what happened may be noticed; only after this time an answer counts as known.
        monotone: which way a numeric feature may move the answer, by feature.
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

    Attributes:
        will: the signal that the question asks for.
        will_not: the signal whose absence the question asks for, instead of ``will``.
        tiers: what counts as most and least likely.
        profit: what contacting a user costs and brings, for ``tiers: {by: profit}`` and the report's profit curve.
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

    Attributes:
        sum_of: the signal whose value is summed, instead of ``will``.
        tiers: what counts as a high and a low amount.
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


def _kind(content: object) -> str:
    """The class of an outcome: one with ``sum_of`` is answered by an amount."""
    sums = "sum_of" in content if isinstance(content, dict) else isinstance(content, ValueOutcome)
    return ValueOutcome.__name__ if sums else Outcome.__name__


def _likelihoods_first(outcomes: dict[str, Outcome | ValueOutcome]) -> dict[str, Outcome | ValueOutcome]:
    return dict(sorted(outcomes.items(), key=lambda item: isinstance(item[1], ValueOutcome)))


#: by name: those answered by yes or no, then those answered by an amount
Outcomes = Annotated[
    dict[
        Name,
        Annotated[
            Annotated[Outcome, Tag(Outcome.__name__)] | Annotated[ValueOutcome, Tag(ValueOutcome.__name__)],
            Discriminator(_kind),
        ],
    ],
    AfterValidator(_likelihoods_first),
]
