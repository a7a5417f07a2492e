"""Tiers of uplift: fifths of the users by what acting is predicted to do, named by what it was seen to do."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitoring.statistics.inputs import two_sided
from segments.tiers import UpliftTier
from serving.model.numbers import Floats

#: groups of users
GROUPS = 5

PERSUADABLE: Final = "persuadable"
SURE_THING: Final = "sure_thing"
LOST_CAUSE: Final = "lost_cause"
DO_NOT_DISTURB: Final = "do_not_disturb"
UNSURE: Final = "unsure"


@dataclass(frozen=True, slots=True)
class Group:
    """A fifth of the users.

    Attributes:
        least: the smallest predicted uplift in it.
        users: of the experiment, by whom it was judged.
        effect: the mean of their doubly robust effects, positive where acting does what is wanted.
        low, high: its interval.
        without: how often what is wanted happens to them without acting.
        tier: its name.
    """

    least: float
    users: int
    effect: float
    low: float
    high: float
    without: float
    tier: UpliftTier


def groups_of(
    places: Floats, effects: Floats, without: Floats, predicted: Floats, *, cost: float, confidence: float = 0.95
) -> list[Group]:
    """Cut users into fifths by their place in a ranking, the highest first, and name each by its interval.

    *Persuadable*: the whole interval lies above what acting costs. *Do not disturb*: below 0. *Sure thing* and *lost
    cause*: it does not pay, and what is wanted happens to most of them anyway, or to few. *Unsure*: all others.

    Args:
        places: of users who judge, as `learners.within_folds` makes them, the highest first to be acted on.
        effects: their doubly robust effects.
        without: their predicted probability of what is wanted, without acting.
        predicted: uplift on the scale of what serves, of as many users as there are: its fifths are the cut-offs.
        cost: of acting on a user, in what one who does what is wanted brings.
        confidence: of all intervals together.
    """
    order = np.argsort(-places, kind="stable")
    cuts = np.array_split(-np.sort(-predicted), GROUPS)
    reach = two_sided(1 - (1 - confidence) / GROUPS)
    found = []
    for inside, cut in zip(np.array_split(order, GROUPS), cuts, strict=True):
        mean = float(effects[inside].mean())
        error = float(effects[inside].std(ddof=1)) / np.sqrt(inside.size)
        low, high, natural = mean - reach * error, mean + reach * error, float(without[inside].mean())
        tier = _tier(low, high, natural, cost)
        found.append(Group(float(cut[-1]), inside.size, mean, low, high, natural, tier))
    return found


def _tier(low: float, high: float, without: float, cost: float) -> UpliftTier:
    if low > cost:
        return PERSUADABLE
    if high < 0:
        return DO_NOT_DISTURB
    if high < cost:
        return SURE_THING if without >= 0.5 else LOST_CAUSE
    return UNSURE
