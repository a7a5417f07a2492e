"""The desk: what all calls and pages are answered from."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from features.definition.schema import Definition
from serving.audience.population import Population
from serving.database.console.chain import Chain
from serving.desk.segment_members import SegmentMembers
from serving.desk.user_events import UserEvents
from serving.process.monitor_gauges import MonitorGauges
from serving.process.problems import RefusedError
from serving.runtime.answer_sampler import AnswerSampler
from serving.runtime.live_path import LivePath
from serving.scoring.online import Answers
from serving.upkeep.erase import Erased


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for something, as the log of actions has it.

    Attributes:
        name: of a key, or of a person.
        origin: from where.
    """

    name: str
    origin: str


@dataclass(frozen=True, slots=True)
class Desk:
    """What the calls are answered from.

    Attributes:
        definition: what is served.
        answers: scores.
        members: who is in a segment.
        population: the columns of everybody in the newest batch.
        events: what a user did.
        live: the live path.
        erase: removes a user everywhere, and writes down who did it.
        monitoring: the folder in which jobs publish what they found.
        monitor: shows the published findings of the monitor as metrics.
        chain: checks the log of actions.
        stopped: ends the threads that keep all this up to date.
        sampler: keeps answers for the monitor; None where none are kept.
    """

    definition: Definition
    answers: Answers
    members: SegmentMembers
    population: Population
    events: UserEvents
    live: LivePath
    erase: Callable[[str, Caller], Erased]
    monitoring: Path
    monitor: MonitorGauges
    chain: Chain
    stopped: threading.Event
    sampler: AnswerSampler | None

    def retire(self) -> None:
        """Leave folding, transitions and sending to another desk; requests that have begun are still answered."""
        self.stopped.set()
        self.live.retire()

    def close(self) -> None:
        """Commit the messages and answers that are still waiting, and close the live log."""
        self.stopped.set()
        if self.sampler is not None:
            self.sampler.close()
        self.live.close()


def check_segment(desk: Desk, name: str) -> None:
    """Check that the definition has a segment.

    Raises:
        RefusedError: it has not.
    """
    if name not in desk.definition.segments:
        there = ", ".join(desk.definition.segments) or "none"
        raise RefusedError(f"there is no segment {name[:60]!r}.", fix=f"the segments are: {there}", status=404)
