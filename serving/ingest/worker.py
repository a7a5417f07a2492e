"""The worker: reads the live log's end, folds it into the profiles, and says how far it has come."""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable
from typing import Protocol

from features.definition.schema import Definition
from features.errors import EventLogError, UnavailableError
from features.feature_store import OnlineProfiles
from features.feature_store.online import LIVE
from features.reading.live_messages import LogColumns, Message
from features.settings import Settings
from features.time import Clock
from serving.database.identity import Mark, check, check_online, mark_of
from serving.database.log.dead_letters import DeadLetter
from serving.database.log.live_log import LiveLog
from serving.database.tables import SHARDS
from serving.ingest.fold.apply import Folded, LiveFold
from serving.ingest.fold.history import History
from serving.ingest.leases import Leases
from serving.ingest.looks import Looks
from serving.ingest.tracking import as_sent
from serving.process.metrics import DEFERRED, FOLDED, FRESHNESS, LAG, WORKER_ERRORS, show_worker

log = logging.getLogger("propensity")

#: messages folded at once, at most: what each round costs by itself is shared by so many
BATCH = 2_500

#: fewer messages than this at once say that the worker keeps up
FEW_WAIT = 100

#: seconds between looks at who moved: while the worker keeps up, and while it does not
LOOK, SELDOM = 0.25, 5.0

#: at least so many times as long as a look took pass until the next: the busier others are, the longer it takes
REST = 4

#: how often to look when nobody says that something came, and how long to wait when a store is away, in seconds
POLL, AWAY = 0.1, 0.5


_ALL = range(SHARDS)


class TransitionWatch(Protocol):
    """What looks at users who act, and records their transitions between states, tiers, groups and segments."""

    def touched(self, users: Iterable[str]) -> None:
        """Say who has acted."""
        ...

    def look(self) -> int:
        """Look at who has acted, and at whose time has come; returns how many of them still wait.

        Raises:
            UnavailableError: a store does not answer.
        """
        ...


class Worker:
    """Folds the live log of a definition.

    Args:
        definition: the definition.
        settings: where things are.
        live: its live log.
        clock: the service's clock.
        transitions: records transitions of users who act; none are recorded when left out.
    """

    def __init__(
        self,
        definition: Definition,
        settings: Settings,
        live: LiveLog,
        clock: Clock,
        transitions: TransitionWatch | None = None,
    ) -> None:
        self._definition, self._settings, self._live, self._clock = definition, settings, live, clock
        self._transitions = transitions
        show_worker()
        self._looks = Looks(live)
        self._leases = Leases(live, f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}")
        self._online: OnlineProfiles | None = None
        self._fold: LiveFold | None = None
        self._something_came = threading.Event()
        self._stopped = threading.Event()
        self._covered = self._looked = self._took = 0.0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Work in a thread of its own, once it is warm."""
        try:
            self._opened()[0].warm_up()
        except (UnavailableError, EventLogError) as error:
            log.warning("the worker starts without a warm-up: %s", error)
        self._thread = threading.Thread(target=self.run, name="live-worker", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread works."""
        return self._thread is not None and self._thread.is_alive()

    def tell(self) -> None:
        """Say that something came."""
        self._something_came.set()

    def stop(self) -> None:
        """Ask it to finish what is being folded, and to stop."""
        self._stopped.set()
        self._something_came.set()

    def close(self) -> None:
        """Stop, and wait until it has."""
        self.stop()
        if self._thread is not None:
            self._thread.join(30)

    def run(self) -> None:
        """Work until it is stopped; a store that is away is waited for."""
        away_since: float | None = None
        while not self._stopped.is_set():
            try:
                if not self.step():
                    self._something_came.wait(POLL)
                    self._something_came.clear()
                away_since = None
            except (UnavailableError, EventLogError) as error:
                WORKER_ERRORS.inc()
                if away_since is None:  # logged once, not twice a second
                    log.warning("the worker waits: %s", error)
                    away_since = time.monotonic()
                LAG.set(time.monotonic() - away_since)  # what came first meanwhile may have waited as long
                self._stopped.wait(AWAY)
            except Exception:
                # whatever it is, the log keeps what was not folded, and the next round begins where this one did
                WORKER_ERRORS.inc()
                log.exception("the worker starts again")
                self._online = self._fold = None
                self._stopped.wait(AWAY)
        try:
            self._leases.give_back()
        except UnavailableError as error:
            log.warning("leases could not be returned, and expire: %s", error)

    def step(self) -> int:
        """Fold the next messages; returns how many there were."""
        fold, online = self._opened()
        mine = self._leases.mine()
        reached = self._reached(online)
        marks = {shard: reached[shard] for shard in mine}
        began = self._clock.now()
        if self._transitions is not None:
            self._transitions.touched(self._looks.missed(online, marks))
        messages = self._live.tail(marks, BATCH)
        if messages:
            result = fold.apply(messages, self._good_through(online, messages[-1].received))
            self._tell(messages, result)
            last = messages[-1].position
            # all messages of these shards up to the last one have been seen: positions are given in order
            online.mark([mark_of(shard) for shard in mine], through=began, position=last)
            marks = dict.fromkeys(mine, last)
            if self._transitions is not None:
                self._transitions.touched(user for message in messages for user in message.users)
        elif mine and time.monotonic() - self._covered > 1.0:
            LAG.set(0)
            self._cover(online, began)
            self._covered = time.monotonic()
        # scores come first: while many messages wait, transitions are looked for seldom
        rest = max(LOOK if len(messages) < FEW_WAIT else SELDOM, REST * self._took)
        if self._transitions is not None and (start := time.monotonic()) - self._looked > rest:
            waiting = self._transitions.look()
            self._looked = time.monotonic()
            self._took = self._looked - start
            if not waiting:
                self._looks.done(online, marks, began)
        return len(messages)

    def _reached(self, online: OnlineProfiles) -> list[int]:
        """How far each shard is folded, by a log that is the one it is folded from."""
        named, reached = online.marked_of_log([mark_of(shard) for shard in _ALL])
        state = check(self._live, [Mark("the online store", named, max(reached))])
        check_online(state, reached)
        if named != state.id:
            online.name_log(state.id)
        return reached

    def _tell(self, messages: list[Message], result: Folded) -> None:
        """Keep what failed, and count."""
        now = self._clock.now()
        if result.failed:
            letters = [DeadLetter("fold", "poison", error, as_sent(m), now, m.id, m.user) for m, error in result.failed]
            self._live.take_out([m for m, _ in result.failed], letters)
        if result.refused:
            letters = [DeadLetter("merge", "merge", why, as_sent(m), now, m.id, m.user) for m, why in result.refused]
            self._live.keep_letters(letters)
        FOLDED.inc(result.folded)
        DEFERRED.inc(len(result.deferred))
        LAG.set((now - messages[0].received) / 1e6)
        for message in messages:
            FRESHNESS.observe(max(now - message.received, 0) / 1e6)

    def _cover(self, online: OnlineProfiles, began: int) -> None:
        """Say that everybody's profile is good through an instant, when nothing waits anywhere."""
        marks = online.marked([mark_of(shard) for shard in _ALL])
        if min(marks) >= self._live.last() or not self._live.tail(dict(zip(_ALL, marks, strict=True)), 1):
            good = self._good_through(online, began)
            if good > online.covered_through() > 0:
                online.mark([LIVE], through=good)

    def _good_through(self, online: OnlineProfiles, instant: int) -> int:
        """An instant, if the live log goes on from what the batch had; else what the batch had.

        Where the batch ends days before the live log begins, nobody knows what happened in between; and where nothing
        at all has come for days, nobody knows whether nothing happened.
        """
        covered, span, age = online.covered_through(), self._live.span(), self._definition.scoring.max_age
        if span is None or span[0] > covered + age:
            return covered
        return max(covered, min(instant, span[1] + age))

    def _opened(self) -> tuple[LiveFold, OnlineProfiles]:
        if self._fold is None or self._online is None:
            folder = self._settings.folder(self._definition.name)
            columns = LogColumns.load(self._definition, folder)
            self._online = OnlineProfiles(self._definition, self._settings)
            history = History(self._definition, self._settings)
            self._fold = LiveFold(columns, self._online, self._live, history)
        return self._fold, self._online
