"""Variants: who is in which arm of an experiment, the same on every machine and every day."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from features.definition.dimension import STATES
from features.definition.schema import Definition
from features.definition.sections.experiment import NOTHING, Experiment
from features.events.draws import evenly, salt


@dataclass(frozen=True, slots=True)
class Trial:
    """An experiment as it is defined now.

    Attributes:
        name: its name in the definition.
        id: ``name@digest``; another when anything that it means has changed, so that an edited experiment is a new one.
        rule: what the definition says of it.
    """

    name: str
    id: str
    rule: Experiment

    def draw(self, definition: str, keys: Sequence[str]) -> list[str]:
        """The variant of each user.

        Args:
            definition: the definition's name.
            keys: the id by which each user is drawn.
        """
        names, shares = list(self.rule.variants), list(self.rule.variants.values())
        salts = np.repeat(salt([f"{definition}\x00experiment\x00{self.id}"]), len(keys))
        at = np.searchsorted(np.cumsum(shares)[:-1], evenly(keys, salts), side="right")
        return [names[i] for i in at]

    def touches(self, dimension: str, before: str | None, after: str | None) -> bool:
        """Whether a transition enters or leaves the audience."""
        return self.rule.entered_by(dimension, after) or self.rule.entered_by(dimension, before)


def trials(definition: Definition) -> dict[str, Trial]:
    """The experiments of a definition, by their ids."""
    found = (Trial(name, f"{name}@{_digest(name, definition)}", rule) for name, rule in definition.experiments.items())
    return {one.id: one for one in found}


def _digest(name: str, definition: Definition) -> str:
    meant = json.dumps(list(_meant(definition.experiments[name], definition)))
    return sha256(f"{definition.name}\x00{name}\x00{meant}".encode()).hexdigest()[:8]


def _meant(rule: Experiment, definition: Definition) -> Iterator[str]:
    """All that an experiment means: itself, the rule of its audience, and its outcomes. The plan may be longer."""
    yield rule.model_dump_json(exclude={"ends"})
    if rule.dimension.kind == "segments":
        segment = definition.segments[rule.dimension.of]
        yield json.dumps([segment.when, segment.exit_when])
    elif rule.dimension == STATES:
        yield json.dumps({name: state.when for name, state in definition.states.items()})
    elif rule.dimension.kind == "rfm" and definition.rfm is not None:
        yield definition.rfm.model_dump_json()
    for name in dict.fromkeys((*rule.outcomes, *([rule.dimension.of] if rule.dimension.kind == "tiers" else []))):
        yield definition.outcomes[name].model_dump_json()


def sends(variant: str) -> bool:
    """Whether users of a variant are sent anything."""
    return variant != NOTHING
