"""Experiments: whether the arms are as planned, the effect, and when it is known."""

from starlette.responses import Response

from features.errors import StoreError
from serving.console.office import Visit
from serving.console.pages import page_of
from serving.console.screen import Screen
from serving.published.experiments import published


def _list(visit: Visit) -> Response:
    try:
        found, why = published(visit.office.desk.monitoring), ""
    except StoreError as error:
        found, why = None, f"{error.message} {error.fix}"
    rules = visit.office.desk.definition.experiments
    return page_of(visit, "experiments.html", "experiments", rules=rules, found=found or {}, why=why)


SCREENS = (Screen("/experiments", "GET", "look", _list),)
