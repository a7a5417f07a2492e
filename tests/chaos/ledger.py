"""A ledger of our own: what was acknowledged, counted by the client that sent it."""

import itertools
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

import httpx

from features.settings import Settings
from serving.database.live_log import LiveLog
from serving.ingest.reconcile import reconcile
from tests.conftest import World

#: whoever buys during a test
USERS = [f"u{number:07d}" for number in range(40)]

_names = itertools.count()


@dataclass
class Ledger:
    """Purchases that were acknowledged.

    An amount is a whole number of 1/64, so that sums are exact in any order.

    Attributes:
        before: what each user had spent, and in how many orders, when the ledger was opened.
        bought: the amounts acknowledged since, by user.
        ids: the ids of their messages.
    """

    before: dict[str, tuple[float, int]] = field(default_factory=dict)
    bought: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ids: set[str] = field(default_factory=set)

    @classmethod
    def opened(cls, url: str) -> "Ledger":
        return cls(before=spent(url))

    def agrees_with(self, url: str, world: World, settings: Settings) -> None:
        """Nothing is lost or counted twice, all sums are right, and profiles are what the log makes of them."""
        wanted = {
            user: (total + sum(self.bought[user]), orders + len(self.bought[user]))
            for user, (total, orders) in self.before.items()
        }
        _agree(url, wanted)
        live = LiveLog.open(world.definition, settings)
        try:
            kept = [message.id for message in live.between(0, live.last(), 10**6)]
            assert len(kept) == len(set(kept))
            assert self.ids <= set(kept), f"{len(self.ids - set(kept))} acknowledged messages are lost"
            assert reconcile(world.definition, settings, live).differences == []
        finally:
            live.close()


@dataclass
class Buyers:
    """Two clients that buy all the time, and send again what was not acknowledged; a third asks for scores.

    Attributes:
        statuses: of every answer, by what was asked for, ``events`` or ``scores``; 0 where the connection failed.
        wrong: scores that lacked somebody, batches that were not taken whole, and 503 without Retry-After.
    """

    ledger: Ledger
    url: str
    statuses: dict[str, set[int]] = field(default_factory=lambda: {"events": set(), "scores": set()})
    wrong: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _answered: int = 0

    def __enter__(self) -> "Buyers":
        self._threads = [threading.Thread(target=self._buy, args=(next(_names),)) for _ in range(2)]
        self._threads.append(threading.Thread(target=self._ask))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "a purchase was never acknowledged"

    def move_to(self, url: str) -> None:
        """Go on at another address."""
        self.url = url

    def go_on(self, batches: int = 20, seconds: float = 180) -> None:
        """Wait until so many more purchases were acknowledged, and scores were answered: no longer than that takes."""
        bought, answered, end = len(self.ledger.ids) + 5 * batches, self._answered + 2, time.monotonic() + seconds
        while len(self.ledger.ids) < bought or self._answered < answered:
            assert time.monotonic() < end, f"{len(self.ledger.ids)} purchases, {self._answered} scores"
            time.sleep(0.02)

    def meet(self, what: str, *statuses: int, seconds: float = 120) -> None:
        """Wait until an answer had one of these statuses."""
        end = time.monotonic() + seconds
        while not self.statuses[what] & set(statuses):
            assert time.monotonic() < end, f"{what}: {self.statuses[what]}, never one of {statuses}"
            time.sleep(0.02)

    def _buy(self, name: int) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            batch = [
                {"type": "track", "event": "purchase", "messageId": f"chaos-{name}-{number}-{i}",
                 "userId": USERS[(number * 5 + i) % len(USERS)], "properties": {"revenue": (number + i + 1) / 64}}
                for i in range(5)
            ]  # fmt: skip
            while (answer := self._call("events", "/v1/batch", {"batch": batch})) is None:
                time.sleep(0.1)
            output = answer.json()
            if output["accepted"] + output["duplicates"] != len(batch):
                self.wrong.append(answer.text)
            for message in batch:
                self.ledger.bought[str(message["userId"])].append(message["properties"]["revenue"])  # type: ignore[index]
                self.ledger.ids.add(str(message["messageId"]))
            time.sleep(0.01)

    def _ask(self) -> None:
        while not self._stop.is_set():
            answer = self._call("scores", "/score", {"user_ids": USERS[:5]})
            if answer is not None:
                self._answered += 1
                if answer.json()["missing"]:
                    self.wrong.append(answer.text)
            time.sleep(0.02)

    def _call(self, what: str, path: str, body: dict[str, object]) -> httpx.Response | None:
        try:
            answer = httpx.post(f"{self.url}{path}", json=body, timeout=20)
        except httpx.TransportError:
            self.statuses[what].add(0)
            return None
        self.statuses[what].add(answer.status_code)
        if answer.status_code == 503 and "retry-after" not in answer.headers:
            self.wrong.append(answer.text)
        return answer if answer.status_code == 200 else None


def spent(url: str) -> dict[str, tuple[float, int]]:
    """What users have spent, and in how many orders, as the service says it."""
    answer = httpx.post(f"{url}/score", json={"user_ids": USERS}, timeout=30)
    assert answer.status_code == 200, answer.text
    found = dict.fromkeys(USERS, (0.0, 0))
    for record in answer.json()["records"]:
        total, average = record["value_to_date"]["total"] or 0.0, record["value_to_date"]["average"]
        found[record["user_id"]] = (total, round(total / average) if average else 0)
    return found


def _agree(url: str, wanted: dict[str, tuple[float, int]], seconds: float = 180) -> None:
    """Wait until the service says what is wanted of everybody."""
    end = time.monotonic() + seconds
    while True:
        found = spent(url)
        wrong = {
            user: (found[user], (total, orders))
            for user, (total, orders) in wanted.items()
            if abs(found[user][0] - total) > 1e-6 or found[user][1] != orders
        }
        if not wrong:
            return
        assert time.monotonic() < end, f"{len(wrong)} users have other sums (found, wanted): {wrong}"
        time.sleep(0.2)
