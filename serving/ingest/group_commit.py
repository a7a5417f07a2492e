"""Group commit: what many requests bring at once goes to the disk in one transaction."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from features.errors import UnavailableError
from features.reading.live_messages import Message
from serving.database.log.dead_letters import DeadLetter
from serving.database.log.live_log import LiveLog

#: messages of one transaction, about
MOST = 5_000

#: requests, and messages of theirs, that may wait; more are turned away at once
WAITING, WAITING_MESSAGES = 2_000, 100_000


@dataclass(frozen=True, slots=True)
class _Order:
    messages: list[Message]
    refused: list[DeadLetter]
    done: "Future[list[str]]" = field(default_factory=Future)


class Committer:
    """Appends for many callers, in a thread of its own.

    Args:
        log: where to.
        appended: called after each transaction, so that somebody folds what came.
    """

    def __init__(self, log: LiveLog, appended: Callable[[], None]) -> None:
        self._log = log
        self._appended = appended
        self._orders: queue.Queue[_Order | None] = queue.Queue(WAITING)
        self._messages, self._counting = 0, threading.Lock()
        self._thread = threading.Thread(target=self._run, name="live-log", daemon=True)
        self._thread.start()

    def submit(self, messages: list[Message], refused: list[DeadLetter]) -> "Future[list[str]]":
        """Append messages; the future yields what became of each, once that is on the disk.

        Raises:
            UnavailableError: too many wait already.
        """
        order = _Order(messages, refused)
        with self._counting:
            if self._orders.full() or self._messages > WAITING_MESSAGES:
                raise UnavailableError(
                    f"{self._orders.qsize():,} requests with {self._messages:,} messages wait for the live log.",
                    fix="send the same again a moment later",
                )
            self._messages += len(messages)
            self._orders.put_nowait(order)
        return order.done

    @property
    def alive(self) -> bool:
        """Whether its thread works."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Append the waiting messages, and stop."""
        self._orders.put(None)
        self._thread.join(30)

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            orders, size = [order], len(order.messages)
            while size < MOST:
                try:
                    more = self._orders.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    self._append(orders)
                    return
                orders.append(more)
                size += len(more.messages)
            self._append(orders)

    def _append(self, orders: list[_Order]) -> None:
        self._write(orders)
        with self._counting:
            self._messages -= sum(len(order.messages) for order in orders)

    def _write(self, orders: list[_Order]) -> None:
        try:
            answers = self._log.append(
                [message for order in orders for message in order.messages],
                [letter for order in orders for letter in order.refused],
            )
        except Exception as error:
            if len(orders) > 1 and not isinstance(error, UnavailableError):
                for order in orders:  # one of them is at fault, and only its sender gets the error
                    self._write([order])
                return
            for order in orders:
                order.done.set_exception(error)
            return
        at = 0
        for order in orders:
            order.done.set_result(answers[at : at + len(order.messages)])
            at += len(order.messages)
        self._appended()
