"""Experiments: whether the arms are as planned, the effect, and when it is known."""

from typing import Literal

from starlette.responses import Response

from features.errors import StoreError
from serving.console.office import Visit
from serving.console.pages import page_of
from serving.console.screen import Screen
from serving.published.experiments import PublishedExperiment, published

#: below this, arms are off the plan by more than chance mostly does; the read-out stops at a far smaller one
UNUSUAL = 0.01

#: users that an arm must expect before its share can be checked
FEWEST = 5


def _list(visit: Visit) -> Response:
    try:
        found, why = published(visit.office.desk.monitoring), ""
    except StoreError as error:
        found, why = None, f"{error.message} {error.fix}"
    rules = visit.office.desk.definition.experiments
    return page_of(visit, "experiments.html", "experiments", rules=rules, found=found or {}, why=why,
                   light_of=light_of, expects=expects)  # fmt: skip


def light_of(one: PublishedExperiment) -> Literal["good", "warn", "bad", "quiet"]:
    """The light of the sample-ratio check: whether as many users are in each arm as were planned."""
    if one.balance.stop:
        return "bad"
    assigned = sum(arm.assigned for arm in one.variants.values())
    if one.balance.p_value is None or any(arm.share * assigned < FEWEST for arm in one.variants.values()):
        return "quiet"
    return "warn" if one.balance.p_value < UNUSUAL else "good"


def expects(one: PublishedExperiment) -> bool:
    """Whether its power is worth a look: no effect of the primary outcome may be read yet."""
    return one.power is not None and all(row.effect is None for row in one.rows[:1])


SCREENS = (Screen("/experiments", "GET", "look", _list),)
