"""The background threads of the live path: a worker updates profiles and finds transitions, a sender delivers them.

Where settings name a topic of Kafka, a reader takes its messages in.
"""

import threading

from features.definition.schema import Definition
from features.settings import Settings
from features.time import Clock
from serving.activation.delivery import Sender
from serving.activation.live_transitions import LiveTransitions
from serving.activation.memberships import Memberships
from serving.activation.transitions import TransitionRecorder
from serving.database.log.live_log import LiveLog
from serving.ingest.topic.reader import TopicReader
from serving.ingest.worker import Worker
from serving.runtime.needs import Needs
from serving.scoring.online import Answers


class Working:
    """The worker, the reader of a topic and the sender, as threads of this process.

    Args:
        definition: the definition.
        settings: where things are.
        live: its live log.
        clock: the service's clock.
        answers: scores users who act; made here, and kept up to date with the champions, when left out.
    """

    def __init__(
        self, definition: Definition, settings: Settings, live: LiveLog, clock: Clock, answers: Answers | None = None
    ) -> None:
        memberships = Memberships(definition, live, clock)
        self._answers, self._watches = answers or Answers(definition, settings), answers is None
        recorder = TransitionRecorder(definition, memberships, settings.scores(definition.name))
        transitions = LiveTransitions(self._answers, memberships, recorder, clock)
        self.worker = Worker(definition, settings, live, clock, transitions)
        self._reader = TopicReader(definition, settings, live, clock, self.worker.tell) if settings.kafka else None
        self._topic = settings.kafka_topic
        self._needs = Needs(definition, settings, live)
        self._sender = Sender(definition, memberships.outbox, clock)
        self._stopped = threading.Event()

    def start(self) -> None:
        """Work in threads."""
        self.worker.start()
        self._start_reader()
        self._sender.start()

    def run(self) -> None:
        """Work until stopped."""
        self._start_reader()
        self._sender.start()
        if self._watches:
            threading.Thread(target=self._answers.watch, args=(self._stopped,), name="champions", daemon=True).start()
        self.worker.run()
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the threads work that do not come back by themselves."""
        return self.worker.alive and (self._reader is None or self._reader.alive)

    def missing(self) -> dict[str, str]:
        """What it needs and does not answer, by its name, with the error's message."""
        return self._needs.missing()

    def degraded(self) -> dict[str, str]:
        """The outcomes whose champion is not served, and a topic that is not read, and why."""
        if self._reader is None or not self._reader.trouble:
            return self._answers.refused
        return {**self._answers.refused, f"topic {self._topic}": self._reader.trouble}

    def stop(self) -> None:
        """Ask for the end of `run`."""
        self._stopped.set()
        self.worker.stop()
        if self._reader is not None:
            self._reader.stop()

    def close(self) -> None:
        """Stop, and wait until all have."""
        self.stop()
        if self._reader is not None:
            self._reader.close()
        self.worker.close()
        self._sender.close()

    def _start_reader(self) -> None:
        if self._reader is not None:
            self._reader.start()
