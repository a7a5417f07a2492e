"""Opening what a process needs: in a thread, again and again until everything it depends on answers."""

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from features.errors import PropensityError, UnavailableError
from serving.process.logs import in_words

log = logging.getLogger("propensity")

#: seconds between two attempts, and how long the last one is waited for at the end
PAUSE, LAST = 2.0, 5.0

Thing = TypeVar("Thing")


class StartingError(UnavailableError):
    """The process has started, and something it needs does not answer yet."""

    code = "starting"


class Opening(Generic[Thing]):
    """Opens something as soon as that is possible, and says until then why it is not.

    A dependency may be away at the first start and when a supervisor starts a successor alike: the process stays,
    answers that it is not ready, and recovers by itself.

    Args:
        make: opens it; raises where something is away.
        what: its name, for the log.
    """

    def __init__(self, make: Callable[[], Thing], what: str) -> None:
        self._make, self._what = make, what
        self._thing: list[Thing] = []
        self._why = StartingError(f"{what} is being opened.", fix="ask again in a few seconds")
        self._settled, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"open-{what}", daemon=True)

    def start(self, patience: float) -> None:
        """Begin, and wait for the outcome of the first attempt, at most so many seconds."""
        self._thread.start()
        self._settled.wait(patience)

    def get(self) -> Thing:
        """What was opened.

        Raises:
            StartingError: it is not open yet; the message says why.
        """
        if not self._thing:
            raise self._why
        return self._thing[0]

    def replace(self, thing: Thing) -> Thing:
        """Answer with another one from now on.

        Returns:
            The one before; who calls closes it.

        Raises:
            StartingError: nothing is open yet.
        """
        before, self._thing = self.get(), [thing]
        return before

    @property
    def alive(self) -> bool:
        """Whether it is open, or still being tried."""
        return bool(self._thing) or self._thread.is_alive()

    def close(self, closing: Callable[[Thing], None]) -> None:
        """Stop trying, and close what was opened."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(LAST)
        for thing in self._thing:
            closing(thing)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._thing.append(self._make())
            except PropensityError as error:
                self._failed(f"{self._what}: {error.message}", error.fix, error)
            except Exception as error:  # whatever a driver raises while its server is away
                message = f"{self._what} cannot be opened ({type(error).__name__})."
                self._failed(message, "see the service's log; it is tried again", error)
            else:
                log.info("%s is open", self._what)
                self._settled.set()
                return
            self._settled.set()
            self._closed.wait(PAUSE)

    def _failed(self, message: str, fix: str, error: Exception) -> None:
        if message != self._why.message:  # logged once, not with each attempt
            log.warning("not ready, and tried again every %.0f s: %s: %s", PAUSE, message, in_words(error))
        self._why = StartingError(message, fix=fix or "ask again in a few seconds")
