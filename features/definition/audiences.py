"""Audiences: everything that users can enter, and what experiments may name of it."""

import difflib
from collections.abc import Iterable

from features.definition.dimension import RFM, STATES, Dimension
from features.definition.names import RFM_GROUPS, TIERS, VALUE_TIERS
from features.definition.schema import Definition
from features.errors import DefinitionError


def audiences(definition: Definition) -> list[str]:
    """Every segment, state, tier and RFM group, as experiments and read-outs name them."""
    tiers = {name: VALUE_TIERS if name in definition.amounts else TIERS for name in definition.outcomes}
    return [
        *(Dimension.segment(name) for name in definition.segments),
        *(STATES.named(name) for name in definition.states),
        *(Dimension.tier(name).named(tier) for name, some in tiers.items() for tier in some),
        *(RFM.named(group) for group in (RFM_GROUPS if definition.rfm else ())),
    ]


def check_experiment(name: str, definition: Definition) -> None:
    """Check that what an experiment names is there.

    Raises:
        DefinitionError: names what is not, and what is nearest to it.
    """
    rule, key = definition.experiments[name], f"experiments.{name}"
    _known(f"{key}.of", rule.of, audiences(definition))
    acting = [one for one, found in definition.destinations.items() if found.kind != "notice"]
    if rule.destination not in acting:
        there = f"those that act on users are {', '.join(acting)}" if acting else "add one that is no notice"
        raise DefinitionError(f"{key}.destination: there is no {rule.destination!r}.", fix=there)
    value = None if rule.dimension.kind == "segments" else rule.value
    if not definition.destinations[rule.destination].wants(rule.dimension, None, value):
        raise DefinitionError(
            f"{key}: the destination {rule.destination} is not sent {rule.of}.",
            fix=f"add {rule.of if value is None or rule.dimension == STATES else rule.dimension} to "
            f"destinations.{rule.destination}.of",
        )
    for outcome in rule.outcomes:
        _known(key, outcome, definition.outcomes)


def _known(key: str, found: str, there: Iterable[str]) -> None:
    names = list(there)
    if found not in names:
        near = difflib.get_close_matches(found, names, n=3, cutoff=0.4) or names[:8]
        raise DefinitionError(f"{key}: there is no {found!r}.", fix=f"nearest: {', '.join(near)}")
