"""The live path of one process: ingestion, the worker, the sender, and what is missing of what they need."""

import logging
from collections.abc import Callable

from features.definition.schema import Definition
from features.errors import EventLogError, PropensityError, UnavailableError
from features.log.messages import LogColumns
from features.settings import Settings
from features.store import OnlineProfiles
from features.time import Clock
from serving.answers import Answers
from serving.handoff.ledger import Ledger
from serving.live.commit import Committer
from serving.live.ingest import Ingest
from serving.live.log import LiveLog
from serving.live.tracking import Tracking
from serving.live.working import Working

log = logging.getLogger("propensity")


class LivePath:
    """Takes messages in, folds them, moves whoever acted, and tells of it.

    Args:
        definition: the definition.
        settings: where things are; ``worker`` says whether this process folds.
        clock: the service's clock.
        answers: scores whoever acts.
    """

    def __init__(self, definition: Definition, settings: Settings, clock: Clock, answers: Answers) -> None:
        self.clock = clock
        self.log = LiveLog.open(definition, settings)
        self.ledger = Ledger(definition, self.log, clock)
        self._definition, self._settings = definition, settings
        self._working = Working(definition, settings, self.log, clock, answers) if settings.worker == "on" else None
        told: Callable[[], None] = self._working.worker.tell if self._working is not None else lambda: None
        self._committer = Committer(self.log, told)
        tracking = Tracking(LogColumns.load(definition, settings.folder(definition.name)))
        self.ingest = Ingest(tracking, self._committer)
        self._asked: OnlineProfiles | None = None
        if self._working is not None:
            self._working.start()

    def missing(self) -> dict[str, str]:
        """What does not answer, by its name, with what was said."""
        found: dict[str, str] = {}
        try:
            self.log.last()
        except UnavailableError as error:
            found["live_log"] = str(error)
        try:
            if self._asked is None:
                self._asked = OnlineProfiles(self._definition, self._settings)
            if not self._asked.covered_through():
                found["online_store"] = "it holds no profiles. Fix: run propensity materialize"
        except (PropensityError, EventLogError) as error:
            found["online_store"] = str(error)
        if self._working is not None and not self._working.worker.alive:
            found["worker"] = "it has ended. Fix: restart the service"
        return found

    def close(self) -> None:
        """Put what waits on the disk, and stop."""
        self._committer.close()
        if self._working is not None:
            self._working.close()
        self.log.close()
