"""The schema of `propensity.yaml`."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from features.definition.base import Name, ProjectName, Span, Sql, Strict
from features.definition.destinations import Destination, Transitions
from features.definition.families import Features
from features.definition.lead_score import LeadScore
from features.definition.learning import Audit, Gate, Scoring, Snapshots, Training
from features.definition.outcome import Outcome, ValueOutcome
from features.definition.rule import OTHERWISE, LeftOut, Packs, SegmentRule, StateRule
from features.definition.signal import Signal
from features.time import DAY, span_name


class EventColumns(Strict):
    """Which columns of the log hold what.

    Attributes:
        user: the column with the user's id.
        event: the column with the event's name.
        time: the column with the time at which the event happened.
        arrived: the column with the time at which the event arrived; without it, an event arrives when it happens.
        id: the column with an id that names one event of the whole log; without it, repeats are not recognised.
    """

    user: str
    event: str
    time: str
    arrived: str | None = None
    id: str | None = None


class Reading(Strict):
    """How a table is read, for all its files alike; nothing of it is guessed.

    Attributes:
        time_format: how times in text are written: a strptime format such as ``%d.%m.%Y %H:%M``, or a list of formats
            that are tried in order, ``iso`` among them. Without it, ISO 8601.
        time_unit: the unit of times that are numbers since 1970.
        encoding: the encoding of CSV files.
    """

    time_format: str | list[str] | None = None
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    encoding: Literal["utf-8", "utf-16", "latin-1"] = "utf-8"

    @property
    def formats(self) -> list[str]:
        """The stated formats, in order."""
        written = self.time_format
        return [] if written is None else [written] if isinstance(written, str) else written

    @model_validator(mode="after")
    def _directives(self) -> Self:
        for written in self.formats:
            if written != "iso" and "%" not in written:
                raise ValueError(f"'time_format' {written!r} has no directive; write iso, or as in '%d.%m.%Y %H:%M'")
        return self


class AtMost(Strict):
    """The largest shares that only cause a warning; above them the log is refused.

    Attributes:
        unreadable: the share of values that cannot be read: times, numbers of CSV columns, what a CAST converts.
        placeholders: the share of rows whose user is a word for nobody, such as ``undefined``, ``null`` or ``0``.
    """

    unreadable: Annotated[float, Field(ge=0, le=1)] = 0.05
    placeholders: Annotated[float, Field(ge=0, le=1)] = 0.2


class Events(Reading):
    """Where the event log is, and how it is read.

    Attributes:
        path: a file, a folder, a pattern (``*``, ``**``, ``?``, ``[…]``), a ``file://`` address, or a list of them.
            Relative paths start at the definition's folder; ``${NAME}`` comes from the environment.
        table: the table or view to read, if ``path`` is a DuckDB file.
        columns: which columns hold what.
        exclude: SQL conditions; rows for which one holds are left out everywhere, and counted.
        ends: the log is complete through this instant. Later events are dropped and counted, and no label window may
            reach past it. Without it, the newest event.
        begins: rows before this instant have an implausible time; they are left out and counted. Without it, 1990.
        at_most: how much of the log may be unreadable.
    """

    path: str | list[str]
    table: str | None = None
    columns: EventColumns
    exclude: list[Sql] = Field(default_factory=list)
    ends: datetime | None = None
    begins: datetime | None = None
    at_most: AtMost = AtMost()


class TraitColumns(Strict):
    """Which columns of the trait table hold the user and the time a row became known.

    Attributes:
        user: the column with the user's id.
        known: the column with the time at which the row became known, not the time at which its values began to hold.
    """

    user: str
    known: str


class Traits(Reading):
    """Slowly changing attributes of a user.

    Attributes:
        path: the trait table: a file, a folder or a pattern.
        columns: which columns hold the user and the time a row became known.
        fields: the columns to use as traits.
    """

    path: str
    columns: TraitColumns
    fields: Annotated[list[Name], Field(min_length=1)]


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


class Definition(Strict):
    """Everything `propensity.yaml` says.

    Attributes:
        name: the definition's name; its files lie in ``PROPENSITY_HOME/<name>``.
        events: where the event log is, and how it is read.
        traits: slowly changing attributes of users, from a table of their own.
        signals: the kinds of events that count, by name.
        windows: how far features look back, ascending: whole days, or less than a day.
        half_lives: how fast decayed counts fade: after this time an event counts half.
        features: families of features beside those that every definition has.
        derived: more columns, as SQL expressions over the others.
        outcomes: the questions that models answer, by name.
        values: the outcomes with ``sum_of``; in the file they stand among the other ``outcomes``.
        rfm: recency, frequency and money; without it, users have no RFM group.
        leads: scores of points that people give by hand, by name.
        packs: ready-made states and segments to include: a list of names, or a map with the settings of each.
        states: rules that say where a user stands; they are tried in order, and the last must be ``otherwise``.
        segments: named groups of users; a user can be in many.
        snapshots: which moments of the past the models learn from.
        training: limits of the training job.
        transitions: how long users stay in a segment or tier before they are reported to have left it.
        destinations: the tools that receive transitions, by name.
        scoring: when a score is not reported.
        audit: when the audit of a training run raises an alarm.
        gate: what a new model must show to become champion.
        wording: words of reasons: templates by feature family, and names (``name.visit``), in any language.
    """

    name: ProjectName
    events: Events
    traits: Traits | None = None
    signals: Annotated[dict[Name, Signal], Field(min_length=1, max_length=60)]
    windows: Annotated[list[Span], Field(min_length=1)]
    half_lives: list[Span] = Field(default=[14 * DAY, 45 * DAY])
    features: Features = Features()
    derived: dict[Name, Sql] = Field(default_factory=dict)
    outcomes: dict[Name, Outcome]
    values: dict[Name, ValueOutcome] = Field(default_factory=dict)
    rfm: RfmRule | None = None
    leads: dict[Name, LeadScore] = Field(default_factory=dict)
    packs: Packs = Field(default_factory=dict)
    states: dict[Name, StateRule] = Field(default_factory=dict)
    segments: dict[Name, SegmentRule] = Field(default_factory=dict)
    snapshots: Snapshots = Snapshots()
    training: Training = Training()
    transitions: Transitions = Transitions()
    destinations: dict[Name, Destination] = Field(default_factory=dict)
    scoring: Scoring = Scoring()
    audit: Audit = Audit()
    gate: Gate = Gate()
    wording: dict[str, str] = Field(default_factory=dict)

    _source: Path = PrivateAttr(default=Path("propensity.yaml"))
    _left_out: tuple[LeftOut, ...] = PrivateAttr(default=())
    _kept: dict[str, object] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _values_apart(cls, content: object) -> object:
        if not isinstance(content, dict) or not isinstance(outcomes := content.get("outcomes"), dict):
            return content
        if not isinstance(values := content.get("values", {}), dict):
            return content
        sums = {key: rule for key, rule in outcomes.items() if isinstance(rule, dict) and "sum_of" in rule}
        others = {key: rule for key, rule in outcomes.items() if key not in sums}
        return content | {"outcomes": others, "values": {**values, **sums}}

    @model_validator(mode="after")
    def _names_meet(self) -> Self:
        found = [*self._unknown_signals(), *self._wrong_rfm(), *self._wrong_windows()]
        known = ", ".join(self.signals)
        if not self.asked:
            found.append("'outcomes' is empty; ask at least one question")
        for key, lead in self.leads.items():
            if lead.outcome not in self.outcomes:
                outcomes = ", ".join(self.outcomes)
                found.append(f"leads.{key}.outcome is {lead.outcome!r}; the outcomes are {outcomes}")
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
        for key, outcome in self.asked.items():
            if outcome.signal not in self.signals:
                yield f"outcomes.{key} asks about signal {outcome.signal!r}; the signals are {known}"
            elif key in self.values and self.signals[outcome.signal].value is None:
                yield f"outcomes.{key} sums signal {outcome.signal!r}, which has no 'value'"

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
        content = self.model_dump(mode="json", exclude_defaults=True)
        amounts = content.pop("values", {})
        return content | {"outcomes": {**content.get("outcomes", {}), **amounts}}

    @property
    def asked(self) -> dict[str, Outcome | ValueOutcome]:
        """All outcomes by name: those answered by yes or no, then those answered by an amount."""
        return {**self.outcomes, **self.values}

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
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]

    @property
    def version(self) -> str:
        """Name and digest: ``demo-shop@3f9c2a1b``."""
        return f"{self.name}@{self.digest}"

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Entries of the included packs that cannot apply, and why."""
        return self._left_out

    @property
    def folder(self) -> Path:
        """The folder the file lies in; relative paths in it start there."""
        return self._source.parent
