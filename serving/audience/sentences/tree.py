"""The tree of a rule: groups, and conditions of a fixed number of kinds; what none of them can say is SQL."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Comparison: TypeAlias = Literal["at_least", "more_than", "at_most", "less_than", "exactly", "not_exactly", "between"]

#: what of a signal is counted: events, days with one, orders that stand, days with one that stands, or sessions
Counted: TypeAlias = Literal["times", "days", "kept", "kept_days", "sessions"]

#: which moment of a signal is meant: its last or first event, its comeback after an absence, orders that stand
Moment: TypeAlias = Literal["last", "first", "comeback", "last_kept", "first_kept"]


class Part(BaseModel):
    """A part of the tree: unknown keys are errors, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Limited(Part):
    """A condition on a number.

    Attributes:
        comparison: how it compares.
        number: with what; of ``between`` the least.
        upto: of ``between`` the most, which is inside.
    """

    comparison: Comparison
    number: float
    upto: float | None = None

    @model_validator(mode="after")
    def _two_of_between(self) -> Self:
        if (self.comparison == "between") != (self.upto is not None):
            raise ValueError("'upto' goes with 'between', and with nothing else")
        return self


class Among(Part):
    """A condition on a text.

    Attributes:
        values: the texts; one of them is enough.
        inside: whether it is one of them, or is known and is none of them.
    """

    values: Annotated[list[str], Field(min_length=1)]
    inside: bool = True


class Did(Limited):
    """How often a signal happened; ``window`` is one of the definition's, or null for ever."""

    kind: Literal["did"] = "did"
    signal: str
    counted: Counted = "times"
    window: str | None = None


class DidNot(Part):
    """A signal did not happen in a window, or never."""

    kind: Literal["did_not"] = "did_not"
    signal: str
    window: str | None = None


class Amount(Limited):
    """What the events of a signal add up to; ``of`` is ``value``, or one of the signal's ``more_values``."""

    kind: Literal["amount"] = "amount"
    signal: str
    of: str = "value"
    window: str | None = None


class Recency(Limited):
    """Days since a moment of a signal; there is no answer for who never had one."""

    kind: Literal["recency"] = "recency"
    signal: str
    moment: Moment = "last"


class Since(Part):
    """Whether a signal happened since the last event of another one.

    ``did``: the last event of ``signal`` is not before the last of ``since``. Otherwise: there is none of ``signal``,
    or its last is before the last of ``since``.
    """

    kind: Literal["since"] = "since"
    signal: str
    since: str
    did: bool


class Then(Part):
    """The last event of ``first`` is before the last event of ``second``, by at most ``days`` days.

    Only the last event of each counts: who did ``first`` once more after ``second`` is out until the next ``second``.
    """

    kind: Literal["then"] = "then"
    first: str
    second: str
    days: Annotated[float, Field(gt=0)]


class State(Among):
    """The state is one of some."""

    kind: Literal["state"] = "state"


class RfmGroup(Among):
    """The RFM group is one of some."""

    kind: Literal["rfm_group"] = "rfm_group"


class Tier(Among):
    """The tier of an outcome is one of some; that of an experiment's uplift, by ``<experiment>_uplift``."""

    kind: Literal["tier"] = "tier"
    outcome: str


class Trait(Among):
    """A trait is one of some."""

    kind: Literal["trait"] = "trait"
    trait: str


class Known(Part):
    """Whether there is a value in a column, such as a trait."""

    kind: Literal["known"] = "known"
    column: str
    known: bool


class Answer(Limited):
    """The probability, expected amount or percentile of an outcome."""

    kind: Literal["answer"] = "answer"
    outcome: str
    measure: Literal["probability", "amount", "percentile"]


class Lead(Limited):
    """The points of a lead score."""

    kind: Literal["lead"] = "lead"
    lead: str


class Member(Part):
    """Whether the rule of another segment holds, as that rule is now.

    It becomes part of the SQL: a later change of the other segment does not change this one. Its ``exit_when`` and its
    minimum dwell time do not count.
    """

    kind: Literal["member"] = "member"
    segment: str
    inside: bool = True


class Number(Limited):
    """Any other numeric column compared with a number."""

    kind: Literal["number"] = "number"
    column: str


class Sql(Part):
    """A condition that none of the sentences can say."""

    kind: Literal["sql"] = "sql"
    sql: Annotated[str, Field(min_length=1)]


class Group(Part):
    """Several conditions.

    Attributes:
        how: ``all`` or ``any`` of them hold. ``none``: it is not true that any holds, so that users of whom this is not
            known are inside. ``not_any``: SQL's NOT, which leaves them out.
        of: the conditions.
    """

    kind: Literal["group"] = "group"
    how: Literal["all", "any", "none", "not_any"]
    of: Annotated[list["Node"], Field(min_length=1)]


Leaf: TypeAlias = (
    Did | DidNot | Amount | Recency | Since | Then | State | RfmGroup | Tier | Trait | Known | Answer | Lead | Member
    | Number | Sql
)  # fmt: skip
Node: TypeAlias = Annotated[Group | Leaf, Field(discriminator="kind")]

Group.model_rebuild()
