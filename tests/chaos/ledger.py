"""A ledger of our own: what was acknowledged, counted by the client that sent it."""

import itertools
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TypedDict

import httpx
import polars as pl

from features.events.compacted import Compacted
from features.settings import Settings
from serving.database.log.live_log import LiveLog
from serving.ingest.reconcile import reconcile
from tests.conftest import World

#: those who buy during a test
USERS = [f"u{number:07d}" for number in range(40)]

_names = itertools.count()


class Bought(TypedDict):
    """A purchase, as it is sent."""

    type: str
    event: str
    messageId: str
    userId: str
    properties: dict[str, float]


@dataclass
class Ledger:
    """Purchases that were acknowledged.

    An amount is a whole number of 1/64, so that sums are exact in any order.

    Attributes:
        before: what each user had spent, and in how many orders, when the ledger was opened.
        bought: the messages acknowledged since, by their ids.
    """

    before: dict[str, tuple[float, int]] = field(default_factory=dict)
    bought: dict[str, Bought] = field(default_factory=dict)

    @classmethod
    def opened(cls, url: str) -> "Ledger":
        return cls(before=spent(url))

    def agrees_with(self, url: str, world: World, settings: Settings) -> None:
        """Nothing is lost or counted twice, all sums are right, and profiles are what the log makes of them."""
        amounts: dict[str, list[float]] = defaultdict(list)
        for message in self.bought.values():
            amounts[message["userId"]].append(message["properties"]["revenue"])
        _agree(url, {user: (total + sum(amounts[user]), orders + len(amounts[user]))
                     for user, (total, orders) in self.before.items()})  # fmt: skip
        assert not self.lost(world, settings), "acknowledged messages are lost"
        live = LiveLog.open(world.definition, settings)
        try:
            assert reconcile(world.definition, settings, live).differences == []
        finally:
            live.close()

    def lost(self, world: World, settings: Settings) -> set[str]:
        """The ids of messages that neither the live log nor the compacted files hold; the log holds none twice."""
        acknowledged = set(self.bought)  # before the rest is read: clients may be at work
        live = LiveLog.open(world.definition, settings)
        try:
            in_log = [message.id for message in live.between(0, live.last(), 10**6)]
        finally:
            live.close()
        files = Compacted.load(settings.live(world.definition.name)).event_files
        in_files = [name for file in files for name in pl.read_parquet(file, columns=["event_id"])["event_id"]]
        assert len(in_log) == len(set(in_log))
        return acknowledged.difference(in_log, in_files)

    def send_again(self, url: str) -> int:
        """Send all that was acknowledged once more, as clients that keep it do; returns how many were taken for new."""
        accepted, every = 0, list(self.bought.values())
        for i in range(0, len(every), 500):
            batch = every[i : i + 500]
            answer = httpx.post(f"{url}/v1/batch", json={"batch": batch}, timeout=60)
            assert answer.status_code == 200, answer.text
            output = answer.json()
            assert output["accepted"] + output["duplicates"] == len(batch)
            accepted += output["accepted"]
        return accepted


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
        bought, answered, end = len(self.ledger.bought) + 5 * batches, self._answered + 2, time.monotonic() + seconds
        while len(self.ledger.bought) < bought or self._answered < answered:
            assert time.monotonic() < end, f"{len(self.ledger.bought)} purchases, {self._answered} scores"
            time.sleep(0.02)

    def go_on_asking(self, answers: int = 10, seconds: float = 120) -> None:
        """Wait until so many more requests for scores were answered, whatever becomes of purchases."""
        wanted, end = self._answered + answers, time.monotonic() + seconds
        while self._answered < wanted:
            assert time.monotonic() < end, f"{self._answered} scores, {wanted} wanted"
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
            batch: list[Bought] = [
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
                self.ledger.bought[message["messageId"]] = message
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
