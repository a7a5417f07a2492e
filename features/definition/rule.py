"""A named predicate over a user, with what to watch and what to do about who is in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from features.definition.base import Name, Span, Sql, Strict

OTHERWISE = "otherwise"


class Play(Strict):
    """What to do for the users of a segment, and what not to do."""

    do: str
    avoid: str = ""


class Rule(Strict):
    """A named predicate.

    Attributes:
        when: who is in it.
        about: the same in words.
        metrics: the columns to watch of who is in it, the most telling first.
        play: what to do for them, and what not.
        stay: once in, a user is not told to have left before this is over.
    """

    when: Sql
    about: str = ""
    metrics: list[str] = Field(default_factory=list)
    play: Play | None = None
    stay: Span | None = None


class Segment(Rule):
    """A segment: a user can be in many.

    Attributes:
        until: once in, a user leaves when this holds; by default as soon as ``when`` does not.
        holdout: share of its users who are left out of the hand-off; the definition's when left out.
    """

    until: Sql | None = None
    holdout: Annotated[float, Field(ge=0, le=0.5)] | None = None


class PackUse(Strict):
    """How a definition uses a pack.

    Attributes:
        roles: what fills the pack's roles; a role is filled by what has its name when nothing is said.
        settings: the pack's numbers and lists, where they shall be others.
        without: entries that are not wanted.
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


def predicates(rules: Mapping[str, Rule]) -> dict[str, str]:
    """The predicates of rules, by name."""
    return {name: rule.when for name, rule in rules.items()}
