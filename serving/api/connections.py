"""Connections that ask slowly, or nothing, are closed, so that they cannot keep others out."""

import asyncio
import json
import resource
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.process.metrics import ERRORS
from serving.process.problems import problem

#: how long a request's headers may take, in seconds
HEADERS_SECONDS = 10.0

#: connections at once; and the share of the files that the process may open
MOST, SHARE = 1_000, 0.75


def bound_connections() -> None:
    """Have uvicorn close what asks too slowly; to be called before it starts, as BentoML hands no such option on."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:BoundedProtocol"


def most_connections() -> int:
    """How many connections there may be at once, so that files are left for the data."""
    return min(MOST, int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * SHARE))


class BoundedProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with an end to waiting for headers, and our shape of errors."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for headers; one connection too many is closed at once."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.close()
            return
        self._wait()

    def on_message_begin(self) -> None:
        """The first byte of a request is here: the rest of its headers must follow.

        Who is at the other end is kept as ``peer``: uvicorn puts what a proxy says in place of it.
        """
        super().on_message_begin()
        self.scope["state"]["peer"] = self.client
        self._wait()

    def on_headers_complete(self) -> None:
        """The headers are here."""
        self._wait_no_more()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP in the shape of every other error; the application never sees it."""
        code, fix = "bad_request", "send HTTP/1.1, with a line and headers that it allows"
        body = json.dumps(problem(msg, code, fix)).encode()
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        head += [*self.server_state.default_headers, (b"connection", b"close")]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in head)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + lines + b"\r\n" + body)
        self.transport.close()
        ERRORS.labels("400").inc()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEADERS_SECONDS, self._cut)

    def _wait_no_more(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _cut(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
