"""The calls that answer what jobs have published: KPIs and experiments."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi import Path as InPath

from features.errors import StoreError
from serving.api.requests import PROBLEMS, desk_of
from serving.desk.desk import check_segment
from serving.process.problems import RefusedError
from serving.published.experiments import PublishedExperiment
from serving.published.experiments import published as experiments_published
from serving.published.kpis import Kpis
from serving.published.kpis import published as kpis_published

Content = TypeVar("Content")


def kpis(
    request: Request,
    segment: Annotated[str | None, Query(max_length=60, description="only what is about this segment")] = None,
) -> Kpis:
    """What `propensity kpis` published last: active users, who came and went, retention, outcomes and value."""
    desk = desk_of(request)
    if segment is not None:
        check_segment(desk, segment)
    found = _read(kpis_published, desk.monitoring)
    if found is None:
        raise RefusedError(
            "no KPIs have been published yet.", fix="run propensity kpis, or propensity nightly", status=404
        )
    return found if segment is None else found.of(segment)


def experiments(request: Request) -> dict[str, PublishedExperiment]:
    """What `propensity monitor` read out last of the definition's experiments, by name."""
    return _read(experiments_published, desk_of(request).monitoring) or {}


def experiment(
    request: Request, name: Annotated[str, InPath(description="the experiment's name")]
) -> PublishedExperiment:
    """What was read out last of an experiment: its arms, where it is, and each variant beside nothing."""
    desk = desk_of(request)
    if name not in desk.definition.experiments:
        there = ", ".join(desk.definition.experiments)
        fix = f"the experiments are: {there}" if there else "the definition has none: add it to 'experiments'"
        raise RefusedError(f"there is no experiment {name[:60]!r}.", fix=fix, status=404)
    found = (_read(experiments_published, desk.monitoring) or {}).get(name)
    if found is None:
        raise RefusedError(f"{name} has not been read out yet.", fix="run propensity monitor", status=404)
    return found


def _read(published: Callable[[Path], Content], folder: Path) -> Content:
    """What was published; the file is at fault where it cannot be read, and not the request."""
    try:
        return published(folder)
    except StoreError as error:
        raise RefusedError(error.message, fix=error.fix, status=500) from error


def add(app: FastAPI) -> None:
    """Add the calls to an application."""
    app.get("/kpis", summary="The KPIs", responses=PROBLEMS)(kpis)
    app.get("/experiments", summary="The experiments", responses=PROBLEMS)(experiments)
    app.get("/experiments/{name}", summary="An experiment", responses=PROBLEMS)(experiment)
