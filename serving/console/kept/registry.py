"""What the console knows of the model registry: read in the background, so that no page waits for MLflow."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from features.errors import PropensityError
from serving.model.registry.registered import Registered

log = logging.getLogger("propensity")

#: seconds: after so long it is read again; the first page waits for so long
KEEP: Final = 900.0
PATIENCE: Final = 3.0


@dataclass(frozen=True, slots=True)
class Known:
    """What was read last.

    Attributes:
        outcomes: the versions of each outcome that has one.
        at: when it was read, by the service's clock.
        error: why it could not be read; None where it was.
    """

    outcomes: Mapping[str, Registered]
    at: int
    error: PropensityError | None


class Registry:
    """Reads the registry when champions have changed, and every fifteen minutes while pages ask.

    Args:
        read: reads it.
    """

    def __init__(self, read: Callable[[], Mapping[str, Registered]]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._known: Known | None = None
        self._key: object = None
        self._after = 0.0
        self._running: threading.Thread | None = None

    def known(self, champions: object, now: int) -> Known | None:
        """What was read last; None while it is read for the first time. A newer reading begins where it is due.

        Args:
            champions: another value means that other versions serve.
            now: the instant, by the service's clock.
        """
        with self._lock:
            due = champions != self._key or time.monotonic() >= self._after
            if due and (self._running is None or not self._running.is_alive()):
                self._running = threading.Thread(
                    target=self._renew, args=(champions, now), name="registry", daemon=True
                )
                self._running.start()
            first = self._running if self._known is None else None
        if first is not None:
            first.join(PATIENCE)
        return self._known

    def _renew(self, champions: object, now: int) -> None:
        try:
            known = Known(self._read(), now, None)
        except PropensityError as error:
            log.warning("the model registry cannot be read for the console: %s", error)
            known = Known({} if self._known is None else self._known.outcomes, now, error)
        with self._lock:
            self._known, self._key, self._after = known, champions, time.monotonic() + KEEP
