"""The plan of an experiment: which users each look counts, and how far from 0 an effect must lie there."""

import math
from dataclasses import dataclass
from functools import cache

from features.definition.sections.experiment import Experiment
from monitoring.statistics.effects.boundaries import boundaries

#: 1 less the confidence of the primary outcome, all variants together
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Look:
    """Where an experiment is.

    The users of a look are the first ones assigned, so that a look says the same on whatever day it is read.

    Attributes:
        number: the last look that was reached, from 1; 0 before the first. None of an experiment without a plan.
        of: how many are planned; None of an experiment without a plan.
        users: how many users, in the order of their assignment, are counted.
        final: whether it is the last one.
        boundary: of ``|z|`` of each variant; None where there is no look to read yet, or no plan.
        following: how many matured users the next look needs; None where there is none.
        matured: how many of the users, the first ones, have a known primary outcome.
    """

    number: int | None
    of: int | None
    users: int
    final: bool
    boundary: float | None
    following: int | None
    matured: int


def look_of(rule: Experiment, matured: int, *, ended: bool) -> Look:
    """The last look that was reached.

    Looks are after equal numbers of matured users, each with the O'Brien–Fleming boundary of Lan and DeMets; if an
    experiment ends with fewer users than planned, its last look spends what is left of alpha.

    Args:
        rule: the experiment.
        matured: how many of its users, the first ones, have a known primary outcome.
        ended: whether nobody takes part any more, and all have matured.
    """
    if rule.users is None:
        return Look(None, None, matured, ended, None, None, matured)
    at = [math.ceil(rule.users * k / rule.looks) for k in range(1, rule.looks + 1)]
    reached = [users for users in at if users <= matured]
    if ended and matured and matured < rule.users:
        before = [users for users in reached if users < matured]
        return _look(rule, [*before, matured], matured, final=True, last=matured)
    if not reached:
        return Look(0, rule.looks, 0, False, None, at[0], matured)
    return _look(rule, reached, matured, final=len(reached) == rule.looks, last=rule.users)


def _look(rule: Experiment, reached: list[int], matured: int, *, final: bool, last: int) -> Look:
    alpha = ALPHA / (len(rule.variants) - 1)
    edge = _edge(tuple(users / last for users in reached), alpha)
    following = None if final else math.ceil((rule.users or 0) * (len(reached) + 1) / rule.looks)
    return Look(len(reached), rule.looks, reached[-1], final, edge, following, matured)


@cache
def _edge(fractions: tuple[float, ...], alpha: float) -> float:
    """The boundary of the last look; it takes a while to integrate, and few plans are read again and again."""
    return float(boundaries(fractions, alpha)[-1])
