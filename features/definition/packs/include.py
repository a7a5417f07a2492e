"""Packs: ready-made states and segments that a definition includes, in its own words.

A pack speaks of roles (``{order}``, ``{cart}``), which the definition's ``packs`` fill with its signals, traits and
outcomes; a role is filled by what has its name when nothing else is given. An entry whose roles are not filled, or
whose columns the definition does not yield, is left out, with the reason. What the definition itself names wins.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import Field

from features.definition.schema import Definition
from features.definition.sections.base import Sql, Strict
from features.definition.sections.rule import OTHERWISE, LeftOut, PackUse, Playbook, Rule, Segment
from features.errors import DefinitionError
from features.expressions.expression import Expression

PACKS = ("lifecycle", "commerce", "saas", "onboarding", "conflicts")
_PLACE = re.compile(r"\{(\w+)\}")


class Role(Strict):
    """What a pack needs a name for."""

    kind: Literal["signal", "trait", "outcome", "value", "signals"]
    about: str


class Entry(Strict):
    """A state or segment of a pack; of several predicates, the first that can be meant is taken."""

    when: Sql | list[Sql]
    about: str
    metrics: list[str]
    playbook: Playbook
    each: str | None = None


class Pack(Strict):
    """Ready-made states and segments."""

    title: str
    about: str
    roles: dict[str, Role]
    settings: dict[str, float | str | list[str]]
    states: dict[str, Entry] = Field(default_factory=dict)
    segments: dict[str, Entry] = Field(default_factory=dict)


@cache
def pack_of(name: str) -> Pack:
    """Read a pack.

    Raises:
        DefinitionError: there is none of that name.
    """
    if name not in PACKS:
        raise DefinitionError(f"packs.{name}: there is no such pack.", fix=f"choose from {', '.join(PACKS)}")
    return Pack.model_validate(yaml.safe_load((files(__package__) / f"{name}.yaml").read_text(encoding="utf-8")))


def include(definition: Definition, columns: Callable[[Definition, bool], Collection[str]]) -> Definition:
    """Add what a definition's packs bring; its own states and segments of the same name stay as they are.

    Args:
        definition: the definition as written.
        columns: the columns that its states (false) or segments (true) may name.

    Raises:
        DefinitionError: a pack, role, setting or entry is unknown, or a role is filled with what is not there.
    """
    states: dict[str, Rule] = {}
    segments: dict[str, Rule] = {}
    left_out: list[LeftOut] = []
    for name, use in definition.packs.items():
        pack = pack_of(name)
        words = _words(definition, name, pack, use)
        for part, found, of_segment in ((pack.states, states, False), (pack.segments, segments, True)):
            known = columns(definition, of_segment)
            for key, entry, filled in _spread(part, words):
                if key in use.without:
                    continue
                rule = _rule(entry, filled, known, pack)
                if isinstance(rule, str):
                    left_out.append(LeftOut(name, key, rule))
                else:
                    found[key] = rule
    of_packs = {key: Segment.model_validate(rule.model_dump()) for key, rule in segments.items()}
    whole = definition.model_copy(
        update={"states": _in_order(definition.states, states), "segments": of_packs | definition.segments}
    )
    whole._left_out = tuple(left_out)
    return whole


def _in_order(own: Mapping[str, Rule], of_packs: Mapping[str, Rule]) -> dict[str, Rule]:
    """A definition's own states before those of packs, or in the place of those they replace; ``otherwise`` last."""
    added = {key: rule for key, rule in own.items() if key not in of_packs}
    every = {**added, **{key: own.get(key, rule) for key, rule in of_packs.items()}}
    return dict(sorted(every.items(), key=lambda item: item[1].when == OTHERWISE))


def _words(definition: Definition, name: str, pack: Pack, use: PackUse) -> dict[str, list[str]]:
    """What stands for each role and setting of a pack; roles that nothing fills are not there."""
    known = [*pack.roles, *pack.settings, *pack.states, *pack.segments]
    keys = [(f"roles.{key}", key in pack.roles) for key in use.roles]
    keys += [(f"settings.{key}", key in pack.settings) for key in use.settings]
    keys += [(f"without.{key}", key in pack.states or key in pack.segments) for key in use.without]
    for key, is_known in keys:
        if not is_known:
            raise DefinitionError(f"packs.{name}.{key}: there is no such thing.", fix=f"it has {', '.join(known)}")
    words = {key: [sql_of(value)] for key, value in {**pack.settings, **use.settings}.items()}
    for key, role in pack.roles.items():
        there = {
            "trait": definition.traits.fields if definition.traits else [],
            "outcome": definition.likelihoods,
            "value": definition.amounts,
        }.get(role.kind, definition.signals)
        given = use.roles.get(key, definition.activity if key == "activity" else key)
        filled = [given] if isinstance(given, str) else given
        if role.kind != "signals" and len(filled) != 1:
            raise DefinitionError(f"packs.{name}.roles.{key} is {filled}.", fix=f"name one {role.kind}")
        if set(filled) <= set(there):
            words[key] = filled
        elif key in use.roles:
            missing = next(word for word in filled if word not in there)
            raise DefinitionError(
                f"packs.{name}.roles.{key}: there is no {role.kind.removesuffix('s')} {missing!r}.",
                fix=f"there are {', '.join(there) or 'none'}",
            )
    return words


def _spread(part: Mapping[str, Entry], words: Mapping[str, list[str]]) -> Iterator[tuple[str, Entry, dict[str, str]]]:
    """Each entry with the words that fill it; an entry for a list of signals once for each of them."""
    single = {key: given[0] for key, given in words.items()}
    for key, entry in part.items():
        if entry.each is None or entry.each not in words:
            yield key, entry, single
        else:
            for each in words[entry.each]:
                yield f"{key}_{each}", entry, single | {"each": each}


def _rule(entry: Entry, words: Mapping[str, str], known: Collection[str], pack: Pack) -> Rule | str:
    """The rule an entry makes, or why it makes none: what the last and simplest of its predicates lacks."""
    why = ""
    for template in [entry.when] if isinstance(entry.when, str) else entry.when:
        missing = [role for role in _PLACE.findall(template) if role not in words]
        if missing:
            role = entry.each if missing[0] == "each" else missing[0]
            why = f"roles.{role} is not filled ({pack.roles[role or ''].about})"
            continue
        when = Expression(_fill(template, words))
        if when != OTHERWISE and (unknown := sorted(when.columns - set(known))):
            why = f"the definition yields no {unknown[0]}"
            continue
        metrics = [_fill(m, words) for m in entry.metrics if set(_PLACE.findall(m)) <= set(words)]
        about, playbook = _fill(entry.about, words), entry.playbook
        return Rule(when=when, about=about, metrics=[m for m in metrics if m in known], playbook=playbook)
    return why


def _fill(template: str, words: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda found: words[found[1]], template)


def sql_of(value: float | str | list[str]) -> str:
    """A setting as it stands in a predicate: numbers and spans as they are, lists as texts."""
    if isinstance(value, list):
        return ", ".join("'" + str(v).replace("'", "''") + "'" for v in value)
    return value if isinstance(value, str) else f"{value:g}"
