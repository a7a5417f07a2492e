"""The schema of `propensity.yaml`."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, PrivateAttr, StringConstraints, model_validator
from pydantic_core import to_json

from features.definition.file.included import FILE_NAME
from features.definition.sections.base import Name, ProjectName, Span, Sql, Strict, not_set
from features.definition.sections.destinations import Destination, Transitions
from features.definition.sections.experiment import Experiment
from features.definition.sections.families import Features
from features.definition.sections.lead_score import LeadScore
from features.definition.sections.learning import TREATED, Audit, Gate, Scoring, Snapshots, Training
from features.definition.sections.log.currencies import Currencies
from features.definition.sections.log.event_log import Events, Traits
from features.definition.sections.log.identities import Identities
from features.definition.sections.outcome import Outcome, Outcomes, ValueOutcome
from features.definition.sections.rfm import RfmRule
from features.definition.sections.rule import OTHERWISE, LeftOut, Packs, SegmentRule, StateRule
from features.definition.sections.signal import Signal
from features.local_days import checked_timezone
from features.time import DAY, span_name

#: what definitions meant before they could name a zone
_utc: Callable[[object], bool] = lambda name: name == "UTC"  # noqa: E731

Timezone = Annotated[str, AfterValidator(checked_timezone), Field(exclude_if=_utc)]

FileName = Annotated[str, StringConstraints(pattern=f"^{FILE_NAME.pattern}$")]


class Definition(Strict):
    """Everything `propensity.yaml` says.

    Attributes:
        name: the definition's name; its files lie in ``PROPENSITY_HOME/<name>``.
        events: where the event log is, and how it is read.
        timezone: whose days, hours and weekends features count, such as ``America/New_York``; windows begin at its
            midnight. Times of the log are not read in it.
        identities: which ids belong to one person; without it, each id is a person.
        traits: slowly changing attributes of users, from a table of their own.
        currencies: what amounts of other currencies are worth, for signals that name the currency of their values.
        signals: the kinds of events that count, by name.
        windows: how far features look back, ascending: whole days, or less than a day.
        half_lives: how fast decayed counts fade: after this time an event counts half.
        features: families of features beside those that every definition has.
        derived: more columns, as SQL expressions over the others.
        outcomes: the questions that models answer, by name.
        rfm: recency, frequency and money; without it, users have no RFM group.
        leads: scores of points that people give by hand, by name.
        packs: ready-made states and segments to include: a list of names, or a map with the settings of each.
        states: rules that say where a user stands; they are tried in order, and the last must be ``otherwise``.
        segments: named groups of users; a user can be in many.
        include: a file beside this one with more segments: those that are published in the console. It need not be
            there yet.
        snapshots: which moments of the past the models learn from.
        training: limits of the training job.
        transitions: how long users stay in a segment or tier before they are reported to have left it.
        destinations: the tools that receive transitions, by name.
        experiments: who of those that enter an audience is sent which variant, by name.
        scoring: when a score is not reported.
        audit: when the audit of a training run raises an alarm.
        gate: what a new model must show to become champion.
        wording: words of reasons: templates by feature family, and names (``name.visit``), in any language.
    """

    name: ProjectName
    events: Events
    timezone: Timezone = "UTC"
    identities: Identities | None = Field(default=None, exclude_if=not_set)
    traits: Traits | None = None
    currencies: Currencies | None = Field(default=None, exclude_if=not_set)
    signals: Annotated[dict[Name, Signal], Field(min_length=1, max_length=60)]
    windows: Annotated[list[Span], Field(min_length=1)]
    half_lives: list[Span] = Field(default=[14 * DAY, 45 * DAY])
    features: Features = Features()
    derived: dict[Name, Sql] = Field(default_factory=dict)
    outcomes: Outcomes
    rfm: RfmRule | None = None
    leads: dict[Name, LeadScore] = Field(default_factory=dict)
    packs: Packs = Field(default_factory=dict)
    states: dict[Name, StateRule] = Field(default_factory=dict)
    segments: dict[Name, SegmentRule] = Field(default_factory=dict)
    include: Annotated[str, StringConstraints(pattern=r"^[\w.-]+\.ya?ml$")] | None = Field(
        default=None, exclude_if=not_set
    )
    snapshots: Snapshots = Snapshots()
    training: Training = Training()
    transitions: Transitions = Transitions()
    destinations: dict[Name, Destination] = Field(default_factory=dict)
    experiments: dict[Name, Experiment] = Field(default_factory=dict, exclude_if=not_set)
    scoring: Scoring = Scoring()
    audit: Audit = Audit()
    gate: Gate = Gate()
    wording: dict[str, str] = Field(default_factory=dict)

    _source: Path = PrivateAttr(default=Path("propensity.yaml"))
    _left_out: tuple[LeftOut, ...] = PrivateAttr(default=())
    _by_hand: frozenset[str] = PrivateAttr(default=frozenset())
    _kept: dict[str, object] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _names_meet(self) -> Self:
        found = [*self._unknown_signals(), *self._wrong_currencies(), *self._wrong_rfm(), *self._wrong_windows()]
        known = ", ".join(self.signals)
        if not self.outcomes:
            found.append("'outcomes' is empty; ask at least one question")
        for key, lead in self.leads.items():
            if lead.outcome not in self.likelihoods:
                likelihoods = ", ".join(self.likelihoods)
                found.append(f"leads.{key}.outcome is {lead.outcome!r}; the outcomes are {likelihoods}")
        if sum(s.activity for s in self.signals.values()) != 1:
            found.append(f"exactly one signal must say 'activity: true' (the sign of life); the signals are {known}")
        if self.states and not self.packs and list(self.states.values())[-1].when != OTHERWISE:
            found.append("the last of 'states' must be 'otherwise', so that every user has a state")
        if found:
            raise ValueError("; ".join(found))
        return self

    def _unknown_signals(self) -> Iterator[str]:
        """Outcomes about signals that are not there, or have no value where one is summed."""
        known = ", ".join(self.signals)
        for key, outcome in self.outcomes.items():
            if outcome.signal not in self.signals:
                yield f"outcomes.{key} asks about signal {outcome.signal!r}; the signals are {known}"
            elif key in self.amounts and self.signals[outcome.signal].value is None:
                yield f"outcomes.{key} sums signal {outcome.signal!r}, which has no 'value'"

    def _wrong_currencies(self) -> Iterator[str]:
        """Currencies that nothing converts, and conversions that nothing asks for."""
        named = {name: rule.currency for name, rule in self.signals.items() if rule.currency is not None}
        if named and self.currencies is None:
            name, column = next(iter(named.items()))
            yield (
                f"signals.{name}.currency is column {column!r}, and 'currencies' does not say what its amounts become; "
                "add currencies: {into: EUR, rates: {USD: 0.92}} with the currencies of the log"
            )
        if self.currencies is not None and not named:
            yield "'currencies' converts nothing: name the column of the currency at a signal, as in currency: currency"

    def _wrong_rfm(self) -> Iterator[str]:
        """What RFM names and is not there."""
        if self.rfm is None:
            return
        for name in dict.fromkeys((self.rfm.signal, self.rfm.money or self.rfm.signal)):
            if name not in self.signals:
                yield f"rfm names signal {name!r}; the signals are {', '.join(self.signals)}"
        if self.rfm.window not in self.windows:
            allowed = ", ".join(span_name(w) for w in self.windows)
            yield f"rfm.window is {span_name(self.rfm.window)}; it must be one of the windows: {allowed}"
        if self.rfm.money in self.signals and self.signals[self.rfm.money].value is None:
            yield f"rfm.money names signal {self.rfm.money!r}, which has no 'value'"

    def _wrong_windows(self) -> Iterator[str]:
        """Windows and half-lives that cannot be."""
        if sorted(set(self.windows)) != self.windows or self.windows[0] <= 0 or self.windows[-1] < DAY:
            yield "'windows' must ascend without repeats, above 0, the last at least a day"
        if any(w > DAY and w % DAY for w in self.windows) or any(h <= 0 for h in self.half_lives):
            yield "'windows' above a day must be whole days, and 'half_lives' above 0"

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy; what was derived from this definition and memoised is not taken along."""
        copied = super().model_copy(update=update, deep=deep)
        copied._kept = {}
        return copied

    def as_file(self) -> dict[str, Any]:
        """What a definition file would say, without what is at its default; `load_definition` reads it again."""
        # what is included stands among the segments
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"include"})

    @property
    def likelihoods(self) -> dict[str, Outcome]:
        """The outcomes that are answered by yes or no."""
        return {name: rule for name, rule in self.outcomes.items() if isinstance(rule, Outcome)}

    @property
    def amounts(self) -> dict[str, ValueOutcome]:
        """The outcomes that are answered by an amount."""
        return {name: rule for name, rule in self.outcomes.items() if isinstance(rule, ValueOutcome)}

    @property
    def uplifts(self) -> dict[str, Experiment]:
        """The experiments from which it can be learnt who is moved by acting: those judged by a yes or no."""
        return {name: rule for name, rule in self.experiments.items() if rule.primary in self.likelihoods}

    @property
    def valued(self) -> list[str]:
        """The signals that have a value, in the order of the columns of an event's values."""
        return [name for name, signal in self.signals.items() if signal.value]

    @property
    def activity(self) -> str:
        """The signal that is the sign of life."""
        return next(name for name, signal in self.signals.items() if signal.activity)

    @property
    def money(self) -> str | None:
        """The signal whose value is what users are worth: RFM's money, or the first that has a value."""
        if self.rfm is not None and self.rfm.money is not None:
            return self.rfm.money
        return next(iter(self.valued), None)

    @property
    def digest(self) -> str:
        """Eight hex digits that change when anything in the definition changes."""
        content: dict[str, Any] = {}
        for key, value in self.model_dump(mode="json").items():
            content[key] = value
            if key == "outcomes":  # amounts have always stood apart here: definitions keep their digests
                content["values"] = {name: value.pop(name) for name in self.amounts}
            if key == "events" and not self.events.sources:  # definitions without any keep their digests
                del value["sources"]
            if key == "gate" and self.gate.treated == TREATED:  # those that do not change it, too
                del value["treated"]
        return hashlib.sha256(to_json(content)).hexdigest()[:8]

    @property
    def version(self) -> str:
        """Name and digest: ``demo-shop@3f9c2a1b``."""
        return f"{self.name}@{self.digest}"

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Entries of the included packs that cannot apply, and why."""
        return self._left_out

    @property
    def by_hand(self) -> frozenset[str]:
        """The segments that the file itself has: not those of packs, and of the file that it includes."""
        return self._by_hand

    @property
    def file(self) -> Path:
        """Where it was read from."""
        return self._source

    @property
    def include_file(self) -> Path | None:
        """The file that this one includes, which need not be there yet; None where it includes none."""
        return self.folder / self.include if self.include else None

    @property
    def folder(self) -> Path:
        """The folder the file lies in; relative paths in it start there."""
        return self._source.parent
