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
        users: of the experiment.
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
    uplift: Floats, effects: Floats, without: Floats, *, cost: float, confidence: float = 0.95
) -> list[Group]:
    """Cut users into fifths by predicted uplift, the highest first, and name each by its interval.

    *Persuadable*: the whole interval lies above what acting costs. *Do not disturb*: below 0. *Sure thing* and *lost
    cause*: it does not pay, and what is wanted happens to most of them anyway, or to few. *Unsure*: all others.

    Args:
        uplift: predicted, of users the model has not seen.
        effects: their doubly robust effects.
        without: the predicted probability of what is wanted, without acting.
        cost: of acting on a user, in what one who does what is wanted brings.
        confidence: of all intervals together.
    """
    order = np.argsort(-uplift, kind="stable")
    reach = two_sided(1 - (1 - confidence) / GROUPS)
    found = []
    for inside in np.array_split(order, GROUPS):
        mean = float(effects[inside].mean())
        error = float(effects[inside].std(ddof=1)) / np.sqrt(inside.size)
        low, high, natural = mean - reach * error, mean + reach * error, float(without[inside].mean())
        tier = _tier(low, high, natural, cost)
        found.append(Group(float(uplift[inside].min()), inside.size, mean, low, high, natural, tier))
    return found


def _tier(low: float, high: float, without: float, cost: float) -> UpliftTier:
    if low > cost:
        return PERSUADABLE
    if high < 0:
        return DO_NOT_DISTURB
    if high < cost:
        return SURE_THING if without >= 0.5 else LOST_CAUSE
    return UNSURE
