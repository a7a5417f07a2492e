"""The sender: brings the messages of the outbox to the destinations, at least once, and in order."""

import logging
import os
import random
import re
import socket
import threading
import time
import uuid
from email.utils import parsedate_to_datetime

from features.definition.schema import Definition
from features.definition.sections.destinations import Destination
from features.errors import PropensityError, UnavailableError
from features.time import SECOND, Clock, to_datetime
from serving.activation.outbox import Outbox, Waiting
from serving.activation.wire.notify import Notices, check_service
from serving.activation.wire.payload import audience, check_secret, notice, webhook
from serving.activation.wire.post import Answer, post
from serving.activation.wire.url_guard import expanded, target_of
from serving.process.metrics import HANDED_OFF, HANDOFF_FAILURES

log = logging.getLogger("propensity")

#: how often to look, and the longest wait between two tries, in seconds
POLL, LONGEST = 0.2, 600.0

#: answers that find fault with what a request says; with all others the same one may be taken another time
_NEVER = (400, 413, 415, 422)


class RefusedError(Exception):
    """A destination did not take a request.

    Attributes:
        later: whether it may take it another time.
        after: seconds to wait, when it says so.
        gone: it answered 410 and gets no more messages.
    """

    def __init__(self, words: str, *, later: bool, after: float | None = None, gone: bool = False) -> None:
        super().__init__(words)
        self.later, self.after, self.gone = later, after, gone


class Sender:
    """Sends.

    Args:
        definition: its destinations.
        outbox: the waiting messages.
        clock: the service's clock.

    Raises:
        PropensityError: an address or a secret cannot be meant.
    """

    def __init__(self, definition: Definition, outbox: Outbox, clock: Clock) -> None:
        check_destinations(definition)
        self._destinations, self._outbox, self._clock = definition.destinations, outbox, clock
        self._holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._notices = {name: Notices() for name in self._destinations}
        self._next: dict[str, float] = dict.fromkeys(self._destinations, 0.0)
        self._random = random.Random(self._holder)  # noqa: S311 - jitter, no secret
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Send in threads of its own, one a destination, so that none waits for another."""
        for name in self._destinations:
            thread = threading.Thread(target=self.run, args=(name,), name=f"handoff-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Stop after the requests that are under way."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(40)
        try:
            self._outbox.give_back(self._holder)
        except UnavailableError as error:
            log.warning("destinations are free in a minute: %s", error)

    def run(self, name: str) -> None:
        """Send to a destination until it is stopped."""
        while not self._stopped.is_set():
            try:
                if not self.step(name):
                    self._stopped.wait(POLL)
            except UnavailableError as error:
                log.warning("the hand-off waits: %s", error)
                self._stopped.wait(1.0)
            except Exception:
                # whatever it is, the outbox keeps what was not delivered
                log.exception("the hand-off to %s starts again", name)
                self._stopped.wait(1.0)

    def drain(self, name: str) -> int:
        """Send to a destination until nothing can be sent any more now; returns how many messages were delivered."""
        sent = 0
        while (found := self.step(name)) is not None:
            sent += found
        return sent

    def step(self, name: str) -> int | None:
        """Send one request; returns how many messages it delivered, or None when there is nothing to send now."""
        destination = self._destinations[name]
        batch = self._outbox.claim(name, self._holder, destination.batch)
        if batch is None:
            return None
        self._pace(name, destination.rate)
        try:
            self._send(name, destination, batch)
        except RefusedError as refused:
            HANDOFF_FAILURES.labels(name).inc()
            self._failed(name, destination, batch, refused)
            return 0
        self._outbox.delivered(name, batch)
        HANDED_OFF.labels(name).inc(len(batch.ids))
        return len(batch.ids)

    def _pace(self, name: str, rate: float) -> None:
        """Keep to the destination's rate."""
        wait = self._next[name] - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        self._next[name] = time.monotonic() + 1 / rate

    def _failed(self, name: str, destination: Destination, batch: Waiting, refused: RefusedError) -> None:
        now = self._clock.now()
        if refused.gone:
            log.warning("%s answered that it is gone (410), and is paused: %s", name, refused)
            self._outbox.pause(name, paused=True, error=str(refused))
        elif not refused.later or now - batch.created > destination.give_up:
            log.warning("%d messages to %s: %s", len(batch.ids), name, refused)
            self._outbox.give_up(batch, str(refused))
        else:
            wait = min(LONGEST, 2.0 ** min(batch.failures, 20)) * self._random.uniform(0.5, 1.0)
            wait = max(wait, min(refused.after or 0.0, 3_600.0))
            self._outbox.wait(name, now + int(wait * SECOND), str(refused))

    def _send(self, name: str, destination: Destination, batch: Waiting) -> None:
        """Send a batch; whatever goes wrong is a refusal, so that it is counted, waits longer each time, and ends."""
        try:
            answer = self._answer(name, destination, batch)
        except PropensityError as error:  # their words hold nothing of addresses, secrets or users
            raise RefusedError(str(error), later=True) from error
        except Exception as error:
            # what others say in an exception may hold what is secret
            raise RefusedError(_named(error), later=True) from error
        if answer is None or 200 <= answer.status < 300:
            return
        raise RefusedError(
            f"HTTP {answer.status}",
            later=answer.status not in _NEVER,
            after=_after(answer.retry_after),
            gone=answer.status == 410,
        )

    def _answer(self, name: str, destination: Destination, batch: Waiting) -> Answer | None:
        """What a receiver says; None of a notice that was taken."""
        key = f"destinations.{name}.url"
        url, private = expanded(destination.url, key=key), destination.allow_private
        if destination.kind == "notice":
            check_service(url, key=key, allow_private=private)
            self._notices[name].send(url, notice(batch.bodies), seconds=destination.timeout)
            return None
        secret = expanded(f"${{{destination.secret}}}", key=f"destinations.{name}.secret")
        if destination.kind == "webhook":
            # signed with the machine's time: receivers hold it against theirs
            request = webhook(batch.id, batch.bodies, secret, to_datetime(time.time_ns() // 1_000))
        else:
            request = audience(batch.bodies, secret, to_datetime(self._clock.now()))
        target = target_of(url.rstrip("/") + request.path if request.path else url, key=key)
        headers = {**request.headers, "User-Agent": "propensity"}
        return post(target, request.content, headers, seconds=destination.timeout, allow_private=private)


def check_destinations(definition: Definition) -> None:
    """Check addresses and secrets before anything is sent, as far as the environment holds them.

    Raises:
        PropensityError: one of them cannot be meant; it names the key, and nothing of the value.
    """
    for name, destination in definition.destinations.items():
        key = f"destinations.{name}"
        try:
            url = expanded(destination.url, key=f"{key}.url")
            secret = expanded(f"${{{destination.secret}}}", key=f"{key}.secret") if destination.secret else ""
        except PropensityError as error:
            log.warning("nothing can be sent to %s: %s", name, error)
            continue
        if destination.kind == "notice":
            check_service(url, key=f"{key}.url", allow_private=destination.allow_private)
        else:
            target_of(url, key=f"{key}.url")
            check_secret(destination.kind, secret, key=f"{key}.secret ({destination.secret})")


def _named(error: Exception) -> str:
    """An exception without its words, but for the system's own."""
    words = os.strerror(error.errno) if isinstance(error, OSError) and error.errno and error.errno > 0 else ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _after(header: str) -> float | None:
    """What ``Retry-After`` says, in seconds: digits, or a date of HTTP; None for anything else."""
    if re.fullmatch(r"[0-9]{1,9}", header):
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
        return moment.timestamp() - time.time() if moment.tzinfo is not None else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
