"""The live path of one process: ingestion, the worker, the sender, and what is missing of what they need."""

import logging
from collections.abc import Callable

from features.definition.schema import Definition
from features.reading.live_messages import LogColumns
from features.settings import Settings
from features.time import Clock
from serving.activation.memberships import Memberships
from serving.database.log.live_log import LiveLog
from serving.ingest.group_commit import Committer
from serving.ingest.leases import living
from serving.ingest.request import Ingest
from serving.ingest.tracking import Tracking
from serving.runtime.background import Working
from serving.runtime.needs import Needs
from serving.scoring.online import Answers

log = logging.getLogger("propensity")


class LivePath:
    """Takes messages in, folds them, finds the transitions of those who acted, and sends them.

    Args:
        definition: the definition.
        settings: where things are; ``worker`` says whether this process folds.
        clock: the service's clock.
        answers: scores users who act.
    """

    def __init__(self, definition: Definition, settings: Settings, clock: Clock, answers: Answers) -> None:
        self.clock, self._answers = clock, answers
        columns = LogColumns.load(definition, settings.folder(definition.name))
        self.log = LiveLog.open(definition, settings)
        try:
            self.memberships = Memberships(definition, self.log, clock)
            self._working = Working(definition, settings, self.log, clock, answers) if settings.worker == "on" else None
        except Exception:
            self.log.close()  # it is tried again
            raise
        on_commit: Callable[[], None] = self._working.worker.tell if self._working is not None else lambda: None
        self._committer = Committer(self.log, on_commit)
        self.ingest = Ingest(Tracking(columns), self._committer)
        self._needs = Needs(definition, settings, self.log)
        # before the first message is taken: new ones would hide that the log is an older one
        for name, why in self._needs.missing().items():
            log.error("starting without %s: %s", name, why)
        if self._working is not None:
            self._working.start()

    @property
    def alive(self) -> bool:
        """Whether all threads work that have to; none comes back by itself."""
        return self._committer.alive and (self._working is None or self._working.alive)

    def degraded(self) -> dict[str, str]:
        """The outcomes whose champion is not served, and a topic that is not read, and why."""
        return self._working.degraded() if self._working is not None else self._answers.refused

    def missing(self) -> dict[str, str]:
        """What does not answer, by its name, with the error's message."""
        found = self._needs.missing()
        if self._working is not None:
            if not self._working.worker.alive:
                found["worker"] = "it has ended. Fix: restart the service"
        elif "live_log" not in found and not living(self.log):
            found["worker"] = "none lives anywhere. Fix: start propensity worker, or unset PROPENSITY_WORKER"
        return found

    def retire(self) -> None:
        """Fold, find and send nothing any more: another one does. Messages are still taken in."""
        if self._working is not None:
            self._working.close()

    def close(self) -> None:
        """Commit the messages that are still waiting, stop the threads, and close the live log."""
        self._committer.close()
        if self._working is not None:
            self._working.close()
        self.log.close()
