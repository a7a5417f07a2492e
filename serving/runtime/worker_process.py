"""A worker's process: it opens what it needs as soon as that answers, works, and says over HTTP how it is."""

import threading
from http.server import ThreadingHTTPServer

from features.definition.schema import Definition
from features.settings import Settings
from features.time import Clock
from serving.database.live_log import LiveLog
from serving.process.health import Health, health_server
from serving.process.opening import Opening, StartingError
from serving.runtime.background import Working

#: how often to look whether it is open, in seconds
LOOK = 0.2


class WorkerProcess:
    """Folds events, finds transitions and sends them until stopped, whatever does not answer when it starts.

    Args:
        definition: the definition.
        settings: where things are.
        clock: the service's clock.
    """

    def __init__(self, definition: Definition, settings: Settings, clock: Clock) -> None:
        def opened() -> Working:
            live = LiveLog.open(definition, settings)
            try:
                return Working(definition, settings, live, clock)
            except Exception:
                live.close()  # it is tried again
                raise

        self._opening = Opening(opened, "the worker")
        self._stopped = threading.Event()

    def serve(self, host: str, port: int) -> None:
        """Say from now on at this address how it is."""
        server: ThreadingHTTPServer = health_server(host, port, Health(self._alive, self._missing, self._degraded))
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()

    def run(self) -> None:
        """Work until stopped."""
        self._opening.start(0)
        while not self._stopped.is_set():
            try:
                self._opening.get().run()
                return
            except StartingError:
                self._stopped.wait(LOOK)

    def stop(self) -> None:
        """Ask for the end of `run`."""
        self._stopped.set()
        self._opening.close(Working.stop)

    def _alive(self) -> bool:
        return self._opening.alive

    def _missing(self) -> dict[str, str]:
        try:
            return self._opening.get().missing()
        except StartingError as error:
            return {"worker": str(error)}

    def _degraded(self) -> dict[str, str]:
        try:
            return self._opening.get().degraded()
        except StartingError:
            return {}
