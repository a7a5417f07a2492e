"""Memberships: what users are, with hysteresis, so that nobody moves in and out again and again."""

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from features.definition.columns import feature_set
from features.definition.dimension import RFM, STATES, Dimension
from features.definition.schema import Definition
from features.definition.sections.rule import Segment
from segments.dependencies import models_in
from segments.tiers import SILENT, TIERS, VALUE_TIERS, TierCuts

#: a segment has no values; one is in it or not
IN = "in"

_DRIFTS = ("rfm_", "_tier", "_probability", "_amount", "_percentile", "_uplift")


@dataclass(frozen=True, slots=True)
class Observation:
    """What one scoring says of a user.

    Attributes:
        user: the id.
        at: the instant.
        values: by dimension: ``states``, ``rfm``, ``tiers.<outcome>``, ``segments.<name>``; what a user is not, is not
            there.
        leaving: the segments whose ``exit_when`` holds.
        scores: likelihoods and amounts by outcome, where there was enough to say.
        last_seen: when the user last did something.
        evidence: what is known of the user, as `segments.transitions.evidence` has it; None where that was not kept.
    """

    user: str
    at: int
    values: Mapping[str, str]
    leaving: frozenset[str]
    scores: Mapping[str, float]
    last_seen: int
    evidence: int | None = None


@dataclass(slots=True)
class UserMemberships:
    """What a user is.

    Attributes:
        at: the scoring that changed it last.
        held: by dimension, the value and since when.
        scores: the answers of then.
        models: the model of each outcome then, as in transitions.
        definition: by which.
        evidence: what was known of the user then; None in those kept by older versions.
    """

    at: int
    held: dict[str, tuple[str, int]] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    definition: str = ""
    evidence: int | None = None

    def to_json(self) -> str:
        """As text, without the instant."""
        kept = [self.held, self.scores, self.models, self.definition, self.evidence]
        return json.dumps(kept, separators=(",", ":"))

    @classmethod
    def of_json(cls, at: int, text: str) -> "UserMemberships":
        """Read `to_json` back."""
        held, scores, models, definition, *evidence = json.loads(text)
        values = {key: (value, since) for key, (value, since) in held.items()}
        return cls(at, values, scores, models, definition, evidence[0] if evidence else None)


class Hysteresis:
    """What a user counts as next, of what they were and what they are now.

    Args:
        definition: its rules.
        cuts: cut-offs of each outcome's model; what rests on an outcome without one stays as it was.
        uplifts: the uplift models there are, as `segments.dependencies.uplift_key` writes them; the same is true of
            what rests on another one.
    """

    def __init__(
        self, definition: Definition, cuts: Mapping[str, TierCuts], uplifts: Collection[str] = frozenset()
    ) -> None:
        self.rules = rule_digests(definition)
        self._definition, self._cuts, self._models = definition, cuts, frozenset((*cuts, *uplifts))
        self._margin = math.log1p(definition.transitions.margin)
        self._exits = {Dimension.segment(name) for name, rule in definition.segments.items() if rule.exit_when}
        self._dwells = {name: self._stay(Dimension(name)) for name in self.rules}
        self._state_dwells = {name: rule.min_dwell or 0 for name, rule in definition.states.items()}
        #: the models that a dimension rests on
        self.rests_on = {name: self._models_of(Dimension(name)) for name in self.rules}

    def is_silent(self, name: str) -> bool:
        """Whether a dimension rests on a model that is missing: nothing is known of it, so that nobody moves."""
        return not self.rests_on.get(name, frozenset()) <= self._models

    def values(
        self, was: UserMemberships | None, observed: Observation
    ) -> Iterator[tuple[str, str | None, str | None]]:
        """Yield each dimension with its value before and from now on."""
        held = was.held if was is not None else {}
        for name in {**dict.fromkeys(held), **dict.fromkeys(observed.values)}:
            before, since = held.get(name, (None, 0))
            yield name, before, self._next(name, before, since, observed)

    def _next(self, name: str, before: str | None, since: int, observed: Observation) -> str | None:
        now = observed.values.get(name)
        if name not in self.rules:
            return None  # the definition knows it no more
        if self.is_silent(name):
            return before  # without a model there is no answer, which is no reason to leave or enter
        if before is None:
            return now
        if name in self._exits:
            now = None if Dimension(name).of in observed.leaving else IN
        elif Dimension(name).kind == "tiers" and before != SILENT and now not in (None, SILENT):
            now = self._tier(Dimension(name).of, before, observed)
        if now == before or SILENT in (now, before):
            return now
        dwell = self._state_dwells.get(before, 0) if name == STATES else self._dwells[name]
        return before if observed.at - since < dwell else now

    def _tier(self, outcome: str, before: str, observed: Observation) -> str:
        """The tier, where one is left only when the odds, or the amount, lie beyond the cut-off by the margin."""
        now = observed.values[Dimension.tier(outcome)]
        cuts, answer = self._cuts.get(outcome), observed.scores.get(outcome)
        if cuts is None or answer is None or now == before:
            return now
        tiers, scale = (VALUE_TIERS, _log) if outcome in self._definition.amounts else (TIERS, _logit)
        if abs(tiers.index(now) - tiers.index(before)) > 1:
            return now  # past both cut-offs
        cut = cuts.most if tiers[0] in (now, before) else cuts.least
        beyond = scale(answer) - scale(cut)
        return now if abs(beyond) >= self._margin else before

    def _stay(self, name: Dimension) -> int:
        rule = self._definition.segments.get(name.of) if name.kind == "segments" else None
        if rule is not None and rule.min_dwell is not None:
            return rule.min_dwell
        named = rule.when.columns if rule is not None else set()
        drifts = name.kind in ("rfm", "tiers") or any(part in column for column in named for part in _DRIFTS)
        return self._definition.transitions.min_dwell if drifts else 0

    def _models_of(self, name: Dimension) -> frozenset[str]:
        if name.kind == "tiers":
            return frozenset({name.of})
        rule = self._definition.segments.get(name.of) if name.kind == "segments" else None
        return models_in(rule, self._definition) if rule is not None else frozenset()


def rule_digests(definition: Definition) -> dict[str, str]:
    """By dimension, what changes when its rule or anything it is made of changes."""
    features = feature_set(definition).digest
    rfm = definition.rfm.model_dump_json() if definition.rfm else ""
    states = json.dumps({name: rule.when for name, rule in definition.states.items()})
    made_of: dict[str, str] = {STATES: states + rfm, RFM: rfm}
    made_of |= {Dimension.tier(name): outcome.model_dump_json() for name, outcome in definition.outcomes.items()}
    for name, rule in definition.segments.items():
        made_of[Dimension.segment(name)] = _meant(rule) + (states if "state" in rule.when.columns else "") + rfm
    return {name: sha256(f"{features}{text}".encode()).hexdigest()[:8] for name, text in made_of.items()}


def _meant(rule: Segment) -> str:
    return json.dumps([rule.when, rule.exit_when])


def _logit(p: float) -> float:
    return math.log(p / (1 - p)) if 0 < p < 1 else math.copysign(math.inf, p - 0.5)


def _log(amount: float) -> float:
    return math.log(amount) if amount > 0 else -math.inf
