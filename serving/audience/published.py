"""Segments that were published after the newest batch: who is in them, by the columns that it has kept."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from features.definition.dimension import Dimension
from features.errors import PropensityError
from features.expressions.program import Program
from segments.holdout import held_out_among, held_out_share
from segments.transitions.membership import rule_digests
from serving.audience.population import Population
from serving.audience.rule import checked


@dataclass(frozen=True, slots=True)
class Found:
    """The users whom the rule of a segment finds at the instant of the batch.

    Attributes:
        cutoff: the instant.
        users: their ids, in the order of the files.
        held_out: those of them who are held out.
    """

    cutoff: int
    users: pl.Series
    held_out: pl.Series


def published_since(population: Population) -> list[str]:
    """The segments whose rule is not the one that the newest batch used; none where no batch has kept its columns.

    Raises:
        StoreError: as for `Population.view`.
        UnavailableError: as for `Population.view`.
    """
    if not population.is_there:
        return []  # scores may be there without columns: then they are all that is known
    view, definition = population.view(()), population.definition
    if view.definition == definition.version:
        return []
    rules = rule_digests(definition)
    names = {Dimension.segment(name): name for name in definition.segments}
    return [name for key, name in names.items() if rules[key] != view.rules.get(key)]


def check_scored(population: Population, name: str) -> None:
    """Check that the newest batch has looked for the users of a segment.

    Raises:
        PropensityError: it has not.
    """
    if name in published_since(population):
        raise PropensityError(
            f"the newest batch does not know who is in {name!r}: its rule was published since.",
            fix="propensity score, or wait for the next nightly batch",
        )


def found_by(population: Population, name: str) -> Found:
    """Find the users of a segment by its rule of entering.

    Raises:
        StoreError: as for `Population.view`.
        UnavailableError: as for `Population.view`.
    """
    definition, dimension = population.definition, Dimension.segment(name)
    program = Program({name: checked(str(definition.segments[name].when), definition, key=dimension)})
    view = population.view(program.columns, users=True)
    inside = program.truths(view.values, view.count)[0]
    share = held_out_share(definition, dimension)
    held_out = np.zeros(view.count, dtype=np.bool_)
    held_out[inside] = held_out_among(view.keys[inside], definition, dimension, share)
    return Found(view.cutoff, view.users.filter(pl.Series(inside)), view.users.filter(pl.Series(held_out)))
