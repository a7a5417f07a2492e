"""Transitions: who left and entered what, why, and their answers before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from segments.transitions.membership import Hysteresis, Observation, UserMemberships

Cause = Literal["behaviour", "time", "new_model", "new_definition", "merged", "erased", "experiment"]


@dataclass(frozen=True, slots=True)
class Transition:
    """One transition of one user.

    Attributes:
        user: the id.
        at: the instant of the scoring that saw it.
        dimension: ``states``, ``rfm``, ``tiers.<outcome>`` or ``segments.<name>``.
        before, after: the state, group or tier, or ``in``; None for nothing.
        cause: ``behaviour`` (something the user did came in since the scoring before, whenever it happened), ``time``
            (nothing did), ``new_model`` or ``new_definition`` (the answers rest on another one now), ``merged`` (the id
            belongs to another user now, who is in what that user is in), ``erased``, ``experiment`` (an experiment
            took in who was there already: it is sent, and not kept as a transition).
        scores_before, scores_after: likelihoods, by outcome.
        models: of each outcome the model: its version, and where it is known, the beginning of its card's digest
            (``churn/4@1a2b3c4d5e6f``).
        definition: by which.
        id: its number; 0 before it is kept.
    """

    user: str
    at: int
    dimension: str
    before: str | None
    after: str | None
    cause: Cause
    scores_before: Mapping[str, float]
    scores_after: Mapping[str, float]
    models: Mapping[str, str]
    definition: str
    id: int = 0


@dataclass(frozen=True, slots=True)
class Scoring:
    """When a user was scored, and by what.

    Attributes:
        at: the instant.
        models: the model of each outcome, as `Transition.models`.
        definition: the definition's version.
    """

    at: int
    models: Mapping[str, str]
    definition: str


class TransitionFinder:
    """Finds transitions.

    Args:
        hysteresis: what users count as.
        models: the model of each outcome, as `Transition.models`.
        definition: the definition's version.
        known: of earlier definitions, by version, the digest of each dimension's rule.
    """

    def __init__(
        self,
        hysteresis: Hysteresis,
        models: Mapping[str, str],
        definition: str,
        known: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._hysteresis, self._models, self._definition, self._known = hysteresis, dict(models), definition, known

    def is_silent(self, name: str) -> bool:
        """Whether nothing is known of a dimension for want of a model."""
        return self._hysteresis.is_silent(name)

    def of(
        self,
        was: UserMemberships | None,
        observed: Observation,
        last: Scoring,
        before: Mapping[str, float],
        evidence: int | None = None,
    ) -> tuple[UserMemberships, list[Transition]]:
        """What a user is from now on, and the transitions that made them so.

        Args:
            was: what the user was; None for who is new.
            observed: what they are now.
            last: the scoring before this one.
            before: the answers of then.
            evidence: what was known of the user then; None where that was not kept.
        """
        held: dict[str, tuple[str, int]] = {}
        moved: list[Transition] = []
        for name, old, new in self._hysteresis.values(was, observed):
            if new is not None:
                held[name] = was.held[name] if was is not None and new == old else (new, observed.at)
            if new != old:
                answers = (before, observed.scores, self._models, self._definition)
                cause = self._cause(name, observed, last, evidence)
                moved.append(Transition(observed.user, observed.at, name, old, new, cause, *answers))
        return UserMemberships(
            observed.at, held, dict(observed.scores), self._models, self._definition, observed.evidence
        ), moved

    def _cause(self, name: str, observed: Observation, last: Scoring, evidence: int | None) -> Cause:
        if last.definition != self._definition:
            rule = self._known.get(last.definition, {}).get(name)
            if rule != self._hysteresis.rules.get(name):
                return "new_definition"
        rests_on = self._hysteresis.rests_on.get(name, frozenset())
        if any(not _same_model(last.models.get(outcome), self._models.get(outcome)) for outcome in rests_on):
            return "new_model"
        if evidence is None or observed.evidence is None or last.definition != self._definition:
            return "behaviour" if observed.last_seen >= last.at else "time"  # by when it happened: all that is known
        return "behaviour" if observed.evidence != evidence else "time"


def _same_model(one: str | None, other: str | None) -> bool:
    """Whether two names are of one model; a name without a digest, as older versions kept it, goes by its number."""
    if one is None or other is None:
        return one == other
    (version, _, digest), (other_version, _, other_digest) = one.partition("@"), other.partition("@")
    return version == other_version and (digest == other_digest or not (digest and other_digest))
