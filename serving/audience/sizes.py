"""How many users a rule finds, what each of its conditions does to that, and who would enter and leave."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.definition.dimension import Dimension
from features.definition.schema import Definition
from features.expressions.expression import Expression
from features.expressions.program import Program
from features.time import DAY, parse_span
from segments.holdout import held_out_among, held_out_share
from serving.audience.population import Population, View
from serving.audience.rule import checked, parts_of
from serving.audience.sentences.read import of_sql
from serving.audience.sentences.tree import Did, DidNot, Group, Node
from serving.audience.sentences.write import to_sql

#: so many users are named
EXAMPLES = 10

#: comparisons of a count that silence fulfils
_FEW = ("at_most", "less_than", "exactly")

#: and those that it fulfils where they must not hold
_MANY = ("at_least", "more_than")

_TENURE = "tenure_days"

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Some:
    """Users: how many, and the first of them in the order of the files."""

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Absence:
    """A condition that something did not happen, or hardly, within a window; it holds of who is new, too.

    Attributes:
        condition: the condition.
        window: its window, such as ``60d``.
        known_less: of the users whom the rule finds and for whom the condition holds, those known for less than that.
    """

    condition: Node
    window: str
    known_less: Some


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition at the top of a rule.

    Attributes:
        sql: the condition.
        node: the same as a sentence.
        holds: how many users it holds for by itself.
        without: the size of the rule without it; a rule of one condition finds everybody without it.
        removes: how many users it removes: ``without`` less the size. Where OR joins the conditions it is below 0:
            so many does it add.
    """

    sql: str
    node: Node
    holds: int
    without: int
    removes: int


@dataclass(frozen=True, slots=True)
class Size:
    """What a rule finds in the population.

    It is the rule of entering, at the instant of the batch: a segment with ``exit_when`` or a minimum dwell time also
    has users who entered earlier and are not found now, and entering and leaving are those of the rule alone.

    Attributes:
        cutoff: the instant of the batch.
        definition: name and digest of the definition of the batch.
        rule: the rule with other segments put in.
        population: how many users there are.
        size: how many the rule finds.
        joined: how its conditions are joined: ``all`` or ``any``.
        conditions: the conditions at the top.
        held_out: how many of those found are held out; None where the segment has no name.
        share: the share of users that is held out; None as above.
        enter: whom the rule finds and the saved one does not; None where there is no saved one.
        leave: whom the saved rule finds and this one does not; None as above.
        absences: what did not happen, and how many are not known for long enough to say so.
    """

    cutoff: int
    definition: str
    rule: Expression
    population: int
    size: int
    joined: str
    conditions: tuple[Condition, ...]
    held_out: int | None
    share: float | None
    enter: Some | None
    leave: Some | None
    absences: tuple[Absence, ...]


def size_of(
    population: Population,
    sql: str,
    *,
    saved: str | None = None,
    name: str | None = None,
    share: float | None = None,
) -> Size:
    """Count whom a rule finds.

    Args:
        population: everybody.
        sql: the rule, as in a definition; it may name other segments as ``segments.<name>``.
        saved: the rule as it was saved.
        name: of the segment, by which its holdout is drawn; it need not be in the definition yet.
        share: of users who are held out of it; without it, that of the definition.

    Raises:
        DefinitionError: a rule cannot be meant.
        StoreError: there is no population, or it cannot be read.
        UnavailableError: its files keep changing.
    """
    definition = population.definition
    rule, before = checked(sql, definition), checked(saved, definition, key="saved") if saved is not None else None
    joined, parts = parts_of(rule)
    absent = list(_absences(of_sql(rule, definition)))
    program = Program({str(i): one for i, one in enumerate(parts)} | ({"saved": before} if before is not None else {})
                      | {f"absent {i}": to_sql(node, definition) for i, (node, _) in enumerate(absent)})  # fmt: skip
    view = population.view(program.columns | ({_TENURE} if absent else set()), users=True)
    found = program.truths(view.values, view.count)
    inside, conditions = _counted(found[: len(parts)], parts, joined, definition)
    saved_at = found[len(parts)] if before is not None else None
    held, of = _held_out(view, inside, definition, name, share)
    return Size(
        cutoff=view.cutoff, definition=view.definition, rule=rule, population=view.count,
        size=int(np.count_nonzero(inside)), joined=joined, conditions=conditions, held_out=held, share=of,
        enter=_some(view, inside & ~saved_at) if saved_at is not None else None,
        leave=_some(view, saved_at & ~inside) if saved_at is not None else None,
        absences=tuple(_known_less(view, inside & holds, *what) for what, holds in
                       zip(absent, found[len(found) - len(absent) :], strict=True)),
    )  # fmt: skip


def _counted(
    found: Flags, parts: list[Expression], joined: str, definition: Definition
) -> tuple[Flags, tuple[Condition, ...]]:
    """Whom a rule finds, and its conditions."""
    join, nothing = (np.logical_and, True) if joined == "all" else (np.logical_or, False)
    before, after = [np.full(found.shape[1], nothing)], [np.full(found.shape[1], nothing)]
    for row in found:
        before.append(join(before[-1], row))
    for row in found[:0:-1]:
        after.append(join(after[-1], row))
    inside, conditions = before[-1], []
    size = int(np.count_nonzero(inside))
    for i, (part, row) in enumerate(zip(parts, found, strict=True)):
        without = len(row) if len(parts) == 1 else int(np.count_nonzero(join(before[i], after[len(parts) - 1 - i])))
        node = of_sql(part, definition)
        conditions.append(Condition(str(part), node, int(np.count_nonzero(row)), without, without - size))
    return inside, tuple(conditions)


def _held_out(
    view: View, inside: Flags, definition: Definition, name: str | None, share: float | None
) -> tuple[int | None, float | None]:
    """How many are held out of a segment, and the share of its users that is."""
    if name is None:
        return None, None
    dimension = Dimension.segment(name)
    share = held_out_share(definition, dimension) if share is None else share
    return int(np.count_nonzero(held_out_among(view.keys[inside], definition, dimension, share))), share


def _some(view: View, which: Flags) -> Some:
    first = np.flatnonzero(which)
    return Some(len(first), view.ids(first[:EXAMPLES].tolist()))


def _known_less(view: View, which: Flags, node: Node, window: str) -> Absence:
    """Who of some users is known for less than a condition looks back."""
    tenure = np.asarray(view.values[_TENURE], dtype=np.float64)
    return Absence(node, window, _some(view, which & (tenure * DAY < parse_span(window))))


def _absences(node: Node, *, inside: bool = True) -> Iterator[tuple[Node, str]]:
    """The conditions that something did not happen within a window, or hardly, and the window."""
    if isinstance(node, Group):
        for part in node.of:
            yield from _absences(part, inside=inside == (node.how in ("all", "any")))
    if not isinstance(node, Did | DidNot) or node.window is None:
        return
    if inside and (isinstance(node, DidNot) or node.comparison in _FEW):
        yield node, node.window
    elif not inside and isinstance(node, Did) and node.comparison in _MANY:
        yield Group(how="none", of=[node]), node.window
