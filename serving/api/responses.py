"""What goes out: errors in one shape, counted by route and status."""

import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serving.process.metrics import ERRORS, REQUESTS, SECONDS
from serving.process.problems import RETRY_AFTER, problem_of, status_of, translated

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

log = logging.getLogger("propensity")

#: health is asked all the time, and says nothing about the service
UNCOUNTED = ("/livez", "/healthz", "/readyz", "/metrics")


class Answering:
    """Sends one answer.

    Args:
        send: sends it.
        route: the template of the path that was asked for, as the metrics name it.

    Attributes:
        pages: whether errors are pages already, which go out as they are.
    """

    def __init__(self, send: Send, route: str) -> None:
        self._send, self.route, self.pages = send, route, False
        self._began = time.perf_counter()
        self._start: Message | None = None
        self._parts: list[bytes] = []
        self._begun = False

    async def __call__(self, message: Message) -> None:
        """Pass a message on; an error's is kept until `finish` sends it in the usual shape."""
        if message["type"] == "http.response.start":
            if message["status"] >= 400 and not self.pages:
                self._start = message
                return
            self._count(message["status"])
        elif self._start is not None:
            self._parts.append(message.get("body", b""))
            return
        self._begun = True
        await self._send(message)

    async def finish(self) -> None:
        """Send an error that was kept."""
        if self._start is not None and not self._begun:
            status, given = self._start["status"], self._start.get("headers", [])
            kept = [(k, v) for k, v in given if k.lower() not in _OURS]
            await self._say(status, translated(status, b"".join(self._parts)), kept)

    async def fail(self, error: Exception, headers: Headers | None = None) -> None:
        """Answer what was raised, whatever was to be answered; nothing, where an answer has begun."""
        if self._begun:
            log.error("an answer was cut off: %s", problem_of(error)["error"])
            return
        await self._say(status_of(error), dict(problem_of(error)), headers or [])

    async def _say(self, status: int, content: dict[str, Any], headers: Headers) -> None:
        self._count(status)
        self._begun = True
        body = json.dumps(content).encode()
        given = [*headers, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status == 503 and not any(k.lower() == b"retry-after" for k, _ in headers):
            given.append((b"retry-after", str(RETRY_AFTER).encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": given})
        await self._send({"type": "http.response.body", "body": body})

    def _count(self, status: int) -> None:
        if status >= 400:
            ERRORS.labels(str(status)).inc()
        if self.route not in UNCOUNTED:
            REQUESTS.labels(self.route, str(status)).inc()
            SECONDS.labels(self.route).observe(time.perf_counter() - self._began)


_OURS = (b"content-type", b"content-length", b"content-encoding")
