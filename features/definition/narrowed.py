"""The same definition with fewer columns: those that are asked for, and what they are made of."""

from collections.abc import Collection

from features.definition.columns import read_columns
from features.definition.schema import Definition
from features.expressions.program import Program
from features.time import DAY


def narrowed(definition: Definition, asked: Collection[str]) -> Definition:
    """Leave out windows, half-lives, families and derived columns that none of some columns needs.

    A column's name says what it is, so that those that are left have the same values.

    Args:
        definition: the definition; its signals, outcomes and attributes stay.
        asked: columns of a feature row; names of attributes and of anything else are passed over.
    """
    derived = _derived(definition, asked)
    needed = set(asked) | Program(derived).columns
    needed &= set(read_columns(definition))
    narrow = definition.model_copy(update={"derived": derived})

    def without(update: dict[str, object]) -> Definition:
        fewer = narrow.model_copy(update=update)
        return fewer if needed <= set(read_columns(fewer)) else narrow

    narrow = without({"features": definition.features.model_copy(update={"families": ()})})
    for half_life in definition.half_lives:
        narrow = without({"half_lives": [h for h in narrow.half_lives if h != half_life]})
    for window in definition.windows:
        fewer = [w for w in narrow.windows if w != window]
        if any(w >= DAY for w in fewer):  # shares are taken over one of them
            narrow = without({"windows": fewer})
    return narrow


def _derived(definition: Definition, asked: Collection[str]) -> dict[str, str]:
    """The derived columns that are asked for, and those that they are made of."""
    wanted: set[str] = set()
    found = {name for name in definition.derived if name in asked}
    while found - wanted:
        wanted |= found
        found |= Program({name: definition.derived[name] for name in wanted}).columns & set(definition.derived)
    return {name: sql for name, sql in definition.derived.items() if name in wanted}
