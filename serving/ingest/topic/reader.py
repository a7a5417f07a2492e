"""The reader: takes a topic's messages into the live log, each once, and says how far it has come."""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial

from features.definition.schema import Definition
from features.errors import PropensityError, StoreError, UnavailableError
from features.reading.live_messages import LogColumns
from features.settings import Settings
from features.time import Clock
from serving.database.log.live_log import LiveLog
from serving.database.log.taken_ids import ACCEPTED, CORRECTED, DUPLICATE
from serving.database.topics import RENEW, OvertakenError, Position, TopicLease, move, positions
from serving.ingest.topic.consumer import Record, Topic
from serving.ingest.topic.content import Content, content_of, nothing_of
from serving.ingest.topic.place import moved_on, opened
from serving.ingest.tracking import Tracking
from serving.process.metrics import EVENTS, TOPIC_ERRORS, TOPIC_LAG, show_topic

log = logging.getLogger("propensity")

#: messages of one transaction, and how long the first of them is waited for, in seconds
MOST, WAIT = 1_000, 0.25

#: seconds between looks at how far behind it is, and at the topic's partitions and where they are to be read
SHOWN, LOOK = 1.0, 10.0

#: seconds until it is tried again: the first time, and the last
AGAIN, SELDOM = 1.0, 30.0


class TopicReader:
    """Reads a definition's topic.

    What was read and how far go to the live log in one transaction, so that a reader that dies anywhere, or two at
    once, take each message once.

    Args:
        definition: the definition.
        settings: name the brokers and the topic.
        live: its live log.
        clock: the service's clock.
        appended: called after each transaction, so that somebody folds what came.

    Raises:
        PropensityError: the client library is not installed, or refuses its settings.
    """

    def __init__(
        self, definition: Definition, settings: Settings, live: LiveLog, clock: Clock, appended: Callable[[], None]
    ) -> None:
        Topic(settings).close()
        self._definition, self._settings, self._live, self._clock = definition, settings, live, clock
        self._appended, self._name = appended, settings.kafka_topic
        holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._lease = TopicLease(live, self._name, holder)
        self._topic: Topic | None = None
        self._tracking: Tracking | None = None
        self._at: dict[int, Position] = {}
        self._shown = self._looked = 0.0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.trouble = ""
        show_topic()

    def start(self) -> None:
        """Read in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="topic", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread works."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Ask it to stop."""
        self._stopped.set()

    def close(self) -> None:
        """Stop, and wait until it has."""
        self.stop()
        if self._thread is not None:
            self._thread.join(30)

    def run(self) -> None:
        """Read until it is stopped; brokers and stores that are away are waited for."""
        pause = AGAIN
        while not self._stopped.is_set():
            try:
                self.step()
                pause = AGAIN
            except OvertakenError as error:
                log.info("another reader was faster: %s", error)
                self._leave()
            except Exception as error:
                self._failed(error)
                self._stopped.wait(pause)
                pause = min(2 * pause, SELDOM)
        self._leave()
        try:
            self._lease.give_back()
        except UnavailableError as error:
            log.warning("the lease of the topic could not be returned, and expires: %s", error)

    def step(self) -> int:
        """Take the next messages in; returns how many there were.

        Raises:
            UnavailableError: the brokers or the live log do not answer; the same messages come again.
            TopicError: the topic cannot be read on.
            OvertakenError: another reader has taken them.
        """
        if not self._lease.mine():
            self._leave()
            self.trouble = ""
            self._stopped.wait(RENEW)
            return 0
        topic = self._opened()
        records, ends = topic.poll(MOST, WAIT)
        new, after = moved_on(self._name, self._at, records, ends)
        if after:
            self._take(new, after)
        now = time.monotonic()
        if topic.disturbed or now - self._looked > LOOK:
            if set(topic.partitions()) != self._at.keys() or positions(self._live, self._name) != self._at:
                self._leave()  # partitions were added, or it is to be read from elsewhere: it is opened again
            self._looked = now
        elif now - self._shown > SHOWN:
            for partition, waiting in topic.waiting({p: at.next for p, at in self._at.items()}).items():
                TOPIC_LAG.labels(str(partition)).set(waiting)
            self._shown = now
        self.trouble = ""
        return len(new)

    def _take(self, records: list[Record], after: dict[int, Position]) -> None:
        if self._tracking is None:
            columns = LogColumns.load(self._definition, self._settings.folder(self._definition.name))
            self._tracking = Tracking(columns)
        found = content_of(records, self._name, self._tracking, self._clock.now())
        try:
            self._append(found, after)
        except UnavailableError:
            raise
        except StoreError as error:
            if len(records) > 1:  # one of them is at fault
                for record in records:
                    self._take([record], moved_on(self._name, self._at, [record], {})[1])
            else:  # the database cannot hold it, whenever it is tried
                self._append(nothing_of(records[0], self._name, str(error), self._clock.now()), after)

    def _append(self, found: Content, after: dict[int, Position]) -> None:
        within = partial(move, topic=self._name, before=self._at, after=after)
        outcomes = self._live.append([*found.messages, *found.merges], found.letters, within=within)
        self._at = {**self._at, **after}
        outcomes = outcomes[: len(found.messages)]  # what two ids in one message say is no message
        counts = {name: outcomes.count(name) for name in (ACCEPTED, CORRECTED, DUPLICATE)}
        counts["refused"] = len(outcomes) - sum(counts.values()) + len(found.letters) + found.not_kept
        for name, count in {**counts, "empty": found.empty}.items():
            EVENTS.labels(name).inc(count)
        if outcomes:
            self._appended()

    def _opened(self) -> Topic:
        if self._topic is None:
            topic = Topic(self._settings)
            try:
                self._at = opened(topic, self._live, self._settings.kafka_start)
            except BaseException:
                topic.close()
                raise
            self._topic, self._looked = topic, time.monotonic()
            if self.trouble:
                log.info("topic %s is read again", self._name)
        return self._topic

    def _leave(self) -> None:
        """Close the connection; what was not appended is read again."""
        for partition in self._at:
            TOPIC_LAG.labels(str(partition)).set(float("nan"))
        if self._topic is not None:
            self._topic.close()
            self._topic = None

    def _failed(self, error: Exception) -> None:
        TOPIC_ERRORS.inc()
        words = str(error) if isinstance(error, PropensityError) else f"{type(error).__name__}; see the log"
        if words != self.trouble:  # logged once, not with each attempt
            if isinstance(error, PropensityError):
                log.warning("topic %s is not read, and tried again: %s", self._name, error)
            else:
                log.exception("topic %s is not read, and tried again", self._name)
        self.trouble = words
        self._leave()
