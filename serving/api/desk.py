"""The desk: what all calls are answered from, and how a call that cannot be answered is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from fastapi import Request

from features.definition.schema import Definition
from serving.api.segment_members import SegmentMembers
from serving.process.monitor_gauges import MonitorGauges
from serving.process.opening import Opening
from serving.process.problems import Problem, RefusedError
from serving.runtime.live_path import LivePath
from serving.scoring.online import Answers
from serving.upkeep.erase import Erased

#: what every call may answer besides, for the page of the API
PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {"model": Problem} for status in (400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504)
}


@dataclass(frozen=True, slots=True)
class Desk:
    """What the calls are answered from.

    Attributes:
        definition: what is served.
        answers: scores.
        members: who is in a segment.
        live: the live path.
        erase: removes a user everywhere.
        monitoring: the folder in which jobs publish what they found.
        monitor: shows the published findings of the monitor as metrics.
    """

    definition: Definition
    answers: Answers
    members: SegmentMembers
    live: LivePath
    erase: Callable[[str], Erased]
    monitoring: Path
    monitor: MonitorGauges


def desk_of(request: Request) -> Desk:
    """The desk of a request.

    Raises:
        StartingError: it is not open yet.
    """
    return cast("Opening[Desk]", request.app.state.desk).get()


def check_segment(desk: Desk, name: str) -> None:
    """Check that the definition has a segment.

    Raises:
        RefusedError: it has not.
    """
    if name not in desk.definition.segments:
        there = ", ".join(desk.definition.segments) or "none"
        raise RefusedError(f"there is no segment {name[:60]!r}.", fix=f"the segments are: {there}", status=404)
