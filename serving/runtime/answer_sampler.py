"""Which live answers are kept for the monitor, and the thread that writes them."""

import logging
import math
import threading
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.errors import PropensityError
from features.events.draws import evenly, salt
from features.settings import Settings
from features.time import DAY, Clock, Instants
from serving.database.live_answers import LiveAnswer, LiveAnswers
from serving.database.log.live_log import LiveLog
from serving.process.metrics import ANSWERS_DROPPED, ANSWERS_KEPT
from serving.scoring.scores import Scored

log = logging.getLogger("propensity")

#: seconds between two writes: what a process that is killed loses at most
EVERY = 2.0

#: users whose answers may wait, and answers that may wait for a database that is away; more are dropped
MOST_WAITING, MOST_UNWRITTEN = 50_000, 20_000

#: answers count that speak of now, so far from the service's clock at most: of an earlier instant only those users can
#: be answered who have done nothing since, and a later one is not known by what the profile holds
NOW = 60_000_000

#: answers that the monitor has not read by then are removed
UNREAD = 60 * DAY


class AnswerSampler:
    """Keeps, for the monitor, a user's first answer on each day that is the user's turn.

    Which days those are is a hash of definition, outcome and user: one in every horizon and a day, so that no event
    answers two rows of a user. Nothing is remembered of earlier answers, and any number of processes choose the same.

    Args:
        definition: the definition.
        settings: where the live log is, and how many answers of a day are kept.
        clock: the service's clock.
    """

    def __init__(self, definition: Definition, settings: Settings, clock: Clock) -> None:
        self._definition, self._settings, self._clock = definition, settings, clock
        self._waiting: deque[Scored] = deque()
        self._users, self._counting = 0, threading.Lock()
        self._unwritten: list[LiveAnswer] = []
        self._seen: dict[tuple[str, int, str], int] = {}
        self._live: LiveLog | None = None
        self._stopped, self._thread = threading.Event(), threading.Thread(target=self._run, name="answers", daemon=True)

    def start(self) -> None:
        """Write, in a thread, what is added."""
        self._thread.start()

    def add(self, scored: Scored) -> None:
        """Leave an answer to the thread; who answers waits for nothing."""
        users = len(scored.rows)
        with self._counting:
            if self._users + users > MOST_WAITING:
                ANSWERS_DROPPED.inc(users)
                return
            self._users += users
        self._waiting.append(scored)

    def close(self) -> None:
        """Write what waits, and stop."""
        self._stopped.set()
        self._thread.join(30)
        if self._live is not None:
            self._live.close()

    def _run(self) -> None:
        down = False
        while True:
            stopped = self._stopped.wait(EVERY)
            try:
                self._write()
                down = False
            except PropensityError as error:
                if not down:  # once, and not every two seconds
                    log.warning("answers wait to be kept for the monitor: %s", error)
                down = True
            except Exception:
                log.exception("answers are not kept for the monitor")
                self._unwritten.clear()
            if stopped:
                return

    def _write(self) -> None:
        """Choose from all that waits, and write it."""
        now, waiting = self._clock.now(), list(self._taken())
        if waiting:
            self._unwritten += self._chosen(waiting, now)
        del self._unwritten[MOST_UNWRITTEN:]
        if not self._unwritten:
            return
        self._live = self._live or LiveLog.open(self._definition, self._settings)
        LiveAnswers(self._live).add(self._unwritten, most=self._settings.live_answers, since=now - UNREAD)
        for one in self._unwritten:
            ANSWERS_KEPT.labels(one.outcome).inc()
        self._unwritten = []
        self._seen = {key: at for key, at in self._seen.items() if key[1] > now - 2 * DAY}

    def _taken(self) -> Iterator[Scored]:
        while self._waiting:
            scored = self._waiting.popleft()
            with self._counting:
                self._users -= len(scored.rows)
            yield scored

    def _chosen(self, waiting: Sequence[Scored], now: int) -> Iterator[LiveAnswer]:
        """The answers about now of users whose turn it is, but for those of whom there is an earlier one."""
        users = [user for scored in waiting for user in scored.rows.users.to_list()]
        at = np.concatenate([scored.rows.cutoffs for scored in waiting])
        place = [(scored, i) for scored in waiting for i in range(len(scored.rows))]
        current = np.abs(at - now) <= NOW
        for outcome in self._definition.outcomes:
            for j in np.flatnonzero(current & turns(self._definition, outcome, users, at)).tolist():
                key = (outcome, int(at[j]) // DAY * DAY, users[j])
                # of two that were answered side by side, the later one may be done first
                earliest = at[j] < self._seen.get(key, now + 2 * NOW)
                if earliest and (one := _answer(*place[j], outcome)) is not None:
                    self._seen[key] = one.at
                    yield one


def _answer(scored: Scored, i: int, outcome: str) -> LiveAnswer | None:
    """What was answered about one of some users; None where there was not enough to say."""
    version, answer = scored.models[outcome], float(scored.answers(outcome)[i])
    if version is None or math.isnan(answer):
        return None
    user, at = scored.rows.users[i], int(scored.rows.cutoffs[i])
    return LiveAnswer(outcome, user, at, version, answer, scored.text(f"{outcome}_tier", i), scored.text("state", i))


def turns(definition: Definition, outcome: str, users: Sequence[str], at: Instants) -> NDArray[np.bool_]:
    """Of some users, each at an instant, those whose day it is: one of every horizon, in days rounded up, and one more.

    Args:
        definition: the definition.
        outcome: one of its outcomes.
        users: ids.
        at: an instant for each.
    """
    days = -(-definition.outcomes[outcome].within // DAY) + 1
    keys = np.repeat(salt([f"{definition.name}\x00answers\x00{outcome}"]), len(users))
    phase = (evenly(users, keys) * days).astype(np.int64)
    return np.asarray((np.asarray(at) // DAY + phase) % days == 0)
