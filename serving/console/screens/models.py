"""Models: what each is good for, what it may not be asked, and how it went since."""

from collections.abc import Sequence
from dataclasses import asdict

from starlette.responses import Response

from features.errors import StoreError
from serving.console import matured
from serving.console.kept.registry import Known
from serving.console.office import Visit
from serving.console.pages import page_of
from serving.console.screen import Screen
from serving.model.registry.registered import Registered
from serving.published.bins import Point, bins_published
from serving.published.monitor import OfOutcome, PublishedMonitor, monitor_published
from serving.scoring.online import ServedModel

#: metrics that are shown of likelihoods and amounts, the most telling first
SHOWN = ("auc", "average_precision", "lift_at_10", "log_loss", "calibration_error", "observed_over_expected",
         "normalised_gini", "mean_absolute_error")  # fmt: skip

#: groups that are shown of an outcome, those with the most evidence against them first
MOST = 24


def _monitor(visit: Visit) -> tuple[PublishedMonitor | None, str]:
    """What the monitor published; and why it cannot be read, in the engine's words."""
    try:
        found = monitor_published(visit.office.desk.monitoring)
    except StoreError as error:
        return None, f"{error.message} {error.fix}"
    return found, ""


def _list(visit: Visit) -> Response:
    desk = visit.office.desk
    monitor, why = _monitor(visit)
    models = desk.answers.models()
    named = {model.outcome for model in models}
    missing = {name: desk.answers.refused.get(name, "") for name in desk.definition.outcomes if name not in named}
    uri = visit.office.settings.tracking_uri
    mlflow = uri.rstrip("/") if uri.startswith(("http://", "https://")) else ""
    known = visit.office.registry.known(sorted(model.version for model in models), visit.now)
    return page_of(
        visit, "models.html", "models", models=models, missing=missing, mlflow=mlflow, why=why, known=known,
        monitor=monitor,
        shown={model.outcome: _metrics(model) for model in models},
        of={model.outcome: _registered(known, model) for model in models},
        reliability={model.outcome: _reliability(visit, known, model) for model in models},
        realised={} if monitor is None else monitor.outcomes,
        batches={} if monitor is None else {name: _batches(one) for name, one in monitor.outcomes.items()},
        groups={} if monitor is None else {name: _groups(one) for name, one in monitor.outcomes.items()},
        findings=[] if monitor is None else monitor.findings,
    )  # fmt: skip


def _registered(known: Known | None, model: ServedModel) -> Registered | None:
    return None if known is None else known.outcomes.get(model.outcome)


def _reliability(visit: Visit, known: Known | None, model: ServedModel) -> list[dict[str, object]]:
    """What the model predicted beside what happened: in its test, and since then of untreated users."""
    rows: list[dict[str, object]] = []
    found = _registered(known, model)
    if found is not None and f"{model.outcome}/{found.champion}" == model.version:
        rows += _points(visit, "test", found.reliability)
    try:
        bins = bins_published(visit.office.desk.monitoring, model.outcome)
    except StoreError:
        return rows  # the cut-off page says so
    if bins is not None:
        rows += _points(visit, "matured", matured.reliability(bins), version=str(bins["version"][0]))
    return rows


def _points(visit: Visit, of: str, points: Sequence[Point], **values: str) -> list[dict[str, object]]:
    """Points of a diagram, with a name for its table and a short one for its legend."""
    name, short = visit.words(f"models.of_{of}", **values), visit.words(f"models.short.{of}")
    return [{"of": of, "name": name, "short": short, **asdict(one)} for one in points]


def _metrics(model: ServedModel) -> list[str]:
    return [name for name in SHOWN if name in model.metrics]


def _batches(found: OfOutcome) -> list[dict[str, object]]:
    """The matured batches, as a chart takes them."""
    return [one.model_dump(mode="json") for one in found.batches]


def _groups(found: OfOutcome) -> list[dict[str, object]]:
    """Groups of users in which what happened lies furthest from what was expected, by its interval."""
    known = [one for one in found.groups if one.ratio is not None and one.low is not None and one.high is not None]
    return [one.model_dump() for one in sorted(known, key=lambda one: -one.beyond)[:MOST]]


SCREENS = (Screen("/models", "GET", "look", _list),)
