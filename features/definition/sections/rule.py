"""A named predicate over a user, with what to watch and what to do about who is in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from features.definition.sections.base import Name, Span, Sql, Strict
from features.expressions.expression import Expression

OTHERWISE = "otherwise"


class Playbook(Strict):
    """What to do for the users of a segment, and what not to do.

    Attributes:
        do: what to do.
        avoid: what not to do.
    """

    do: str
    avoid: str = ""


class Rule(Strict):
    """A named predicate.

    Attributes:
        when: the predicate; users for whom it holds are in. A predicate alone is the short form of a rule.
        about: the same in words.
        metrics: the columns to watch for these users, the most telling first.
        playbook: what to do for these users, and what not to do.
        min_dwell: the minimum dwell time: a user is not reported to have left before this time is over.
    """

    when: Sql
    about: str = ""
    metrics: list[str] = Field(default_factory=list)
    playbook: Playbook | None = None
    min_dwell: Span | None = None


class Segment(Rule):
    """A segment: a user can be in many.

    Attributes:
        exit_when: the exit condition: a user leaves when this holds. Without it, as soon as ``when`` does not hold.
        holdout: the share of its users who are left out of the hand-off. Without it, ``transitions.holdout``.
    """

    exit_when: Sql | None = None
    holdout: Annotated[float, Field(ge=0, le=0.5)] | None = None


class PackUse(Strict):
    """How a definition uses a pack.

    Attributes:
        roles: which of your signals, traits and outcomes fill the pack's roles. A role that is not listed is filled by
            what has the role's name.
        settings: your numbers and lists in place of the pack's.
        without: entries of the pack to leave out.
    """

    roles: dict[str, Name | list[Name]] = Field(default_factory=dict)
    settings: dict[str, float | str | list[str]] = Field(default_factory=dict)
    without: list[str] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entry of a pack that cannot apply, and why."""

    pack: str
    entry: str
    why: str


def _spelt_out(value: Any) -> Any:
    """A predicate alone is the short form."""
    return {"when": value} if isinstance(value, str) else value


def _by_name(value: Any) -> Any:
    """A list of packs is the short form, for packs taken as they are."""
    if not isinstance(value, list):
        return value
    if not all(isinstance(name, str) for name in value):
        raise ValueError("a list of packs holds their names alone; with roles write 'packs: {NAME: {roles: …}}'")
    return {name: {} for name in value}


Packs = Annotated[dict[str, PackUse], BeforeValidator(_by_name)]
StateRule = Annotated[Rule, BeforeValidator(_spelt_out)]
SegmentRule = Annotated[Segment, BeforeValidator(_spelt_out)]


def predicates(rules: Mapping[str, Rule]) -> dict[str, Expression]:
    """The predicates of rules, by name."""
    return {name: rule.when for name, rule in rules.items()}
