"""A worker's process: it opens what it needs as soon as that answers, works, and says over HTTP how it is."""

import threading
from http.server import ThreadingHTTPServer

from features.definition.schema import Definition
from features.settings import Settings
from features.time import Clock
from serving.database.log.live_log import LiveLog
from serving.process.health import Health, health_server
from serving.process.opening import Opening, StartingError
from serving.runtime.background import Working
from serving.runtime.renewal import Renewal

#: how often to look whether it is open, in seconds
LOOK = 0.2


class _Work:
    """The worker and the sender of a definition, on a live log of their own."""

    def __init__(self, definition: Definition, settings: Settings, clock: Clock) -> None:
        self.definition = definition
        self._live = LiveLog.open(definition, settings)
        try:
            self.working = Working(definition, settings, self._live, clock)
        except Exception:
            self._live.close()  # it is tried again
            raise

    def retire(self) -> None:
        self.working.stop()

    def close(self) -> None:
        self.working.stop()
        self._live.close()


class WorkerProcess:
    """Folds events, finds transitions and sends them until stopped, whatever does not answer when it starts.

    Args:
        definition: the definition.
        settings: where things are.
        clock: the service's clock.
    """

    def __init__(self, definition: Definition, settings: Settings, clock: Clock) -> None:
        def opened(definition: Definition) -> _Work:
            return _Work(definition, settings, clock)

        self._opening = Opening(lambda: opened(definition), "the worker")
        self._renewal = Renewal(self._opening, opened)
        self._stopped = threading.Event()

    def serve(self, host: str, port: int) -> None:
        """Say from now on at this address how it is."""
        server: ThreadingHTTPServer = health_server(host, port, Health(self._alive, self._missing, self._degraded))
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()

    def run(self) -> None:
        """Work until stopped."""
        self._opening.start(0)
        threading.Thread(target=self._renewal.watch, args=(self._stopped,), name="renewal", daemon=True).start()
        while not self._stopped.is_set():
            try:
                self._opening.get().working.run()  # until it is stopped, or another one has taken its place
            except StartingError:
                self._stopped.wait(LOOK)

    def stop(self) -> None:
        """Ask for the end of `run`."""
        self._stopped.set()
        self._opening.close(_Work.retire)

    def _alive(self) -> bool:
        return self._opening.alive

    def _missing(self) -> dict[str, str]:
        try:
            return self._opening.get().working.missing()
        except StartingError as error:
            return {"worker": str(error)}

    def _degraded(self) -> dict[str, str]:
        try:
            return self._opening.get().working.degraded()
        except StartingError:
            return {}
