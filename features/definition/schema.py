"""The schema of `propensity.yaml`."""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    StringConstraints,
    model_validator,
)

from features.time import DAY, parse_span, span_name

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
ProjectName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
Span = Annotated[int, BeforeValidator(parse_span), PlainSerializer(span_name, return_type=str)]
Sql = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Strict(BaseModel):
    """A part of the definition: unknown keys are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EventColumns(Strict):
    """Which columns of the log hold what."""

    user: str
    event: str
    time: str
    arrived: str | None = None
    id: str | None = None


class Events(Strict):
    """Where the event log is.

    ``ends`` is the instant through which the log is complete: later events are dropped and counted, and no label
    window may reach past it.
    """

    path: str | list[str]
    table: str | None = None
    columns: EventColumns
    exclude: list[Sql] = []
    ends: datetime | None = None


class TraitColumns(Strict):
    """Which columns of the trait table hold the user and the time a row became known."""

    user: str
    known: str


class Traits(Strict):
    """Slowly changing attributes of a user."""

    path: str
    columns: TraitColumns
    fields: Annotated[list[Name], Field(min_length=1)]


class Signal(Strict):
    """A named kind of event: the rows of the log where ``where`` holds, worth ``value`` each."""

    where: Sql
    value: Sql | None = None
    activity: bool = False


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
    monotone: dict[str, Literal["increasing", "decreasing"]] = {}

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


class RfmRule(Strict):
    """What recency, frequency and money are measured on; cut-offs are fitted once unless given here."""

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


class Snapshots(Strict):
    """Which moments of the past the models learn from, and how much of each.

    Of each cutoff's population a share ``keep`` is kept, drawn anew for each user and cutoff, but ``min_rows`` rows
    where there are as many; each row counts as one over its cutoff's share.
    """

    stride: Span = 7 * DAY
    count: Annotated[int, Field(ge=4, le=520)] = 104
    spread: bool = True
    warm_up: Span = 28 * DAY
    keep: Annotated[float, Field(gt=0, le=1)] = 1.0
    min_rows: Annotated[int, Field(ge=0)] = 20_000


class Training(Strict):
    """Limits of the training job: at most ``max_rows`` a slice, at least ``min_positives`` to fit on.

    Of a user's rows ``max_rows_per_user`` are kept in the fitting slice, drawn evenly, each counting for as many as
    it stands for: base rates stay what they are.
    """

    max_rows: Annotated[int, Field(ge=1_000)] = 200_000
    max_rows_per_user: Annotated[int, Field(ge=1)] | None = None
    min_positives: Annotated[int, Field(ge=10)] = 100
    unseen_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    seed: int = 1


class Scoring(Strict):
    """When a score is not worth saying.

    ``max_beyond``: how far a feature may lie beyond the range the model was fitted on, in widths of that range.
    """

    max_age: Span = 3 * DAY
    min_history: Span = 0
    max_beyond: Annotated[float, Field(ge=0)] = 1.0


class Audit(Strict):
    """When the audit of a training run raises an alarm; a check named in ``accept`` is told, and fails nothing.

    ``too_good``: AUC of the model, or of one feature alone, from which a leak is more likely than a good model.
    ``drift``: population stability index between the fitting and the test slice.
    """

    too_good: Annotated[float, Field(gt=0.5, le=1)] = 0.97
    drift: Annotated[float, Field(gt=0)] = 0.25
    accept: list[Literal["label_shuffle", "single_feature", "too_good", "label_days", "future"]] = []


class Gate(Strict):
    """What a challenger must show to become champion; shares are relative to the champion's value.

    ``average_precision`` and ``recall``: the lower 95 % bounds of the paired differences may not fall by more.
    ``calibration_error`` and ``observed_over_expected``: bounds on the test slice. ``slice_drop``: no state or tenure
    slice may fall by more with an interval that excludes 0. ``draws``: of the bootstrap. Source: the numbers follow
    the promotion gates collected in docs/adr/0011-gate.md.
    """

    average_precision: Annotated[float, Field(ge=0)] = 0.0025
    recall: Annotated[float, Field(ge=0)] = 0.01
    calibration_error: Annotated[float, Field(gt=0)] = 0.03
    observed_over_expected: tuple[float, float] = (0.85, 1.15)
    slice_drop: Annotated[float, Field(ge=0)] = 0.02
    draws: Annotated[int, Field(ge=100)] = 1_000


class Definition(Strict):
    """Everything `propensity.yaml` says."""

    name: ProjectName
    events: Events
    traits: Traits | None = None
    signals: Annotated[dict[Name, Signal], Field(min_length=1, max_length=60)]
    windows: Annotated[list[Span], Field(min_length=1)]
    half_lives: list[Span] = [14 * DAY, 45 * DAY]
    derived: dict[Name, Sql] = {}
    outcomes: Annotated[dict[Name, Outcome], Field(min_length=1)]
    rfm: RfmRule | None = None
    states: dict[Name, Sql] = {}
    segments: dict[Name, Sql] = {}
    snapshots: Snapshots = Snapshots()
    training: Training = Training()
    scoring: Scoring = Scoring()
    audit: Audit = Audit()
    gate: Gate = Gate()
    wording: dict[str, str] = {}

    _source: Path = PrivateAttr(default=Path("propensity.yaml"))
    _kept: dict[str, object] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _names_meet(self) -> Self:
        known = ", ".join(self.signals)
        for key, outcome in self.outcomes.items():
            if outcome.signal not in self.signals:
                raise ValueError(f"outcomes.{key} asks about signal {outcome.signal!r}; the signals are {known}")
        for name in [self.rfm.signal, self.rfm.money or self.rfm.signal] if self.rfm else []:
            if name not in self.signals:
                raise ValueError(f"rfm names signal {name!r}; the signals are {known}")
        if self.rfm and self.rfm.window not in self.windows:
            allowed = ", ".join(span_name(w) for w in self.windows)
            raise ValueError(f"rfm.window is {span_name(self.rfm.window)}; it must be one of the windows: {allowed}")
        if self.rfm and self.rfm.money and self.signals[self.rfm.money].value is None:
            raise ValueError(f"rfm.money names signal {self.rfm.money!r}, which has no 'value'")
        if sum(s.activity for s in self.signals.values()) != 1:
            raise ValueError(
                f"exactly one signal must say 'activity: true' (the sign of life); the signals are {known}"
            )
        if sorted(set(self.windows)) != self.windows or self.windows[0] <= 0 or self.windows[-1] < DAY:
            raise ValueError("'windows' must ascend without repeats, above 0, the last at least a day")
        if any(w > DAY and w % DAY for w in self.windows) or any(h <= 0 for h in self.half_lives):
            raise ValueError("'windows' above a day must be whole days, and 'half_lives' above 0")
        if self.states and list(self.states.values())[-1] != "otherwise":
            raise ValueError("the last of 'states' must be 'otherwise', so that every user has a state")
        return self

    @property
    def activity(self) -> str:
        """The signal that is the sign of life."""
        return next(name for name, signal in self.signals.items() if signal.activity)

    @property
    def digest(self) -> str:
        """Eight hex digits that change when anything in the definition changes."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]

    @property
    def version(self) -> str:
        """Name and digest: ``demo-shop@3f9c2a1b``."""
        return f"{self.name}@{self.digest}"

    @property
    def folder(self) -> Path:
        """The folder the file lies in; relative paths in it start there."""
        return self._source.parent
