"""The sender: brings what waits in the outbox to the destinations, at least once, and in order."""

import logging
import os
import random
import socket
import threading
import time
import uuid
from email.utils import parsedate_to_datetime

import httpx

from features.definition.handoff import Destination
from features.definition.schema import Definition
from features.errors import PropensityError, UnavailableError
from features.time import SECOND, Clock, to_datetime
from serving.handoff.address import ForbiddenAddressError, check_notice, checked, expanded
from serving.handoff.message import Request, audience, notice, webhook
from serving.handoff.outbox import Outbox, Waiting
from serving.metrics import HANDED_OFF, HANDOFF_FAILURES

log = logging.getLogger("propensity")

#: how often to look, and the longest wait between two tries, in seconds
POLL, LONGEST = 0.2, 600.0

#: answers that find fault with what a request says; with all others the same one may be taken another time
_NEVER = (400, 413, 415, 422)


class RefusedError(Exception):
    """A destination did not take a request.

    Attributes:
        later: whether it may take it another time.
        after: seconds to wait, when it said so.
        gone: it wants nothing more.
    """

    def __init__(self, said: str, *, later: bool, after: float | None = None, gone: bool = False) -> None:
        super().__init__(said)
        self.later, self.after, self.gone = later, after, gone


class Sender:
    """Sends.

    Args:
        definition: its destinations.
        outbox: what waits.
        clock: the service's clock.
    """

    def __init__(self, definition: Definition, outbox: Outbox, clock: Clock) -> None:
        self._destinations, self._outbox, self._clock = definition.destinations, outbox, clock
        self._holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._client = httpx.Client(follow_redirects=False, trust_env=False)
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
        self._client.close()
        try:
            self._outbox.give_back(self._holder)
        except UnavailableError as error:
            log.warning("destinations are free in a minute: %s", error)

    def run(self, name: str) -> None:
        """Send to a destination until told to stop."""
        while not self._stopped.is_set():
            try:
                if not self.step(name):
                    self._stopped.wait(POLL)
            except UnavailableError as error:
                log.warning("the hand-off waits: %s", error)
                self._stopped.wait(1.0)
            except Exception:
                # whatever it is, the outbox keeps what was not delivered
                log.exception("the hand-off to %s begins anew", name)
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
            log.warning("%s wants nothing more, and is paused: %s", name, refused)
            self._outbox.pause(name, paused=True, error=str(refused))
        elif not refused.later or now - batch.created > destination.give_up:
            log.warning("%d messages to %s: %s", len(batch.ids), name, refused)
            self._outbox.bury(batch, str(refused))
        else:
            wait = min(LONGEST, 2.0 ** min(batch.failures, 20)) * self._random.uniform(0.5, 1.0)
            wait = max(wait, min(refused.after or 0.0, 3_600.0))
            self._outbox.wait(name, now + int(wait * SECOND), str(refused))

    def _send(self, name: str, destination: Destination, batch: Waiting) -> None:
        try:
            url = expanded(destination.url, key=f"destinations.{name}.url")
            secret = (
                expanded(f"${{{destination.secret}}}", key=f"destinations.{name}.secret") if destination.secret else ""
            )
        except PropensityError as error:
            raise RefusedError(str(error), later=True) from error
        if destination.kind == "notice":
            return _notify(url, notice(batch.bodies), allow_private=destination.allow_private)
        at = to_datetime(self._clock.now())
        if destination.kind == "webhook":
            # signed with the machine's time: receivers hold it against theirs
            request = webhook(batch.id, batch.bodies, secret, to_datetime(time.time_ns() // 1_000))
        else:
            request = audience(batch.bodies, secret, at)
        return self._post(url, destination, request)

    def _post(self, url: str, destination: Destination, request: Request) -> None:
        try:
            whole = url.rstrip("/") + request.path if request.path else url
            address = checked(whole, allow_private=destination.allow_private)
            headers = {**request.headers, "Host": address.host, "User-Agent": "propensity"}
            answer = self._client.post(
                address.url, content=request.content, headers=headers, timeout=destination.timeout,
                extensions={"sni_hostname": address.name},
            )  # fmt: skip
        except ForbiddenAddressError as error:
            raise RefusedError(str(error), later=True) from error
        except (httpx.HTTPError, OSError) as error:
            raise RefusedError(f"{type(error).__name__}: {error}", later=True) from error
        if answer.is_success:
            return
        later = answer.status_code not in _NEVER
        said = f"HTTP {answer.status_code}: {answer.text[:200]}"
        raise RefusedError(said, later=later, after=_after(answer), gone=answer.status_code == 410)


def _after(answer: httpx.Response) -> float | None:
    """What ``Retry-After`` says, in seconds."""
    said = answer.headers.get("retry-after", "")
    if said.isdigit():
        return float(said)
    try:
        return parsedate_to_datetime(said).timestamp() - time.time()
    except ValueError:
        return None


def _notify(url: str, text: str, *, allow_private: bool) -> None:
    try:
        if not allow_private:
            check_notice(url)
    except (ForbiddenAddressError, OSError) as error:
        raise RefusedError(str(error), later=True) from error
    try:
        import apprise
    except ImportError as error:
        raise RefusedError("apprise is not installed. Fix: pip install propensity[notices]", later=True) from error
    told = apprise.Apprise()
    if not told.add(url):
        raise RefusedError("Apprise does not know this address. Fix: see its wiki for the form", later=True)
    if not told.notify(title="Users moved", body=text):
        raise RefusedError("the notice was not taken", later=True)
