"""Health and metrics of a process that answers nothing else, over HTTP of the standard library."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from serving.process import metrics
from serving.process.problems import USUAL, problem

#: how long a caller may take to ask, in seconds
PATIENCE = 10


@dataclass(frozen=True, slots=True)
class Health:
    """How a process is.

    Attributes:
        alive: whether it works, or will.
        missing: what it needs and does not answer, by name.
        degraded: outcomes without predictions, or with those of an older model, and a topic that is not read, and why;
            it is ready without them.
    """

    alive: Callable[[], bool]
    missing: Callable[[], dict[str, str]]
    degraded: Callable[[], dict[str, str]] = dict

    def live(self) -> tuple[int, dict[str, Any]]:
        """The answer to ``/livez``."""
        if self.alive():
            return 200, {"alive": True}
        return 503, problem("a thread of this process has ended.", "dead", "restart it")

    def ready(self) -> tuple[int, dict[str, Any]]:
        """The answer to ``/readyz``."""
        missing = self.missing()
        state: dict[str, Any] = {"ready": not missing, "missing": missing, "degraded": self.degraded()}
        if not missing:
            return 200, state
        error = problem(f"not ready: {', '.join(missing)}.", "not_ready", "see 'missing'; it recovers by itself")
        return 503, {**error, **state}


def health_server(host: str, port: int, health: Health) -> ThreadingHTTPServer:
    """Make a server of ``/livez``, ``/readyz`` and ``/metrics``; `serve_forever` starts it."""

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._send(200, metrics.page(), metrics.TYPE)
                return
            answers = {"/livez": health.live, "/healthz": health.live, "/readyz": health.ready}
            status, content = answers[path]() if path in answers else _nothing()
            self._send(status, json.dumps(content).encode(), "application/json")

        def _send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if status == 503:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: probes ask all the time."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    return server


def _nothing() -> tuple[int, dict[str, Any]]:
    return 404, problem("there is no such path.", USUAL[404][0], "the paths are /livez, /readyz and /metrics")
