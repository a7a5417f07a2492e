"""A real HTTP server that takes what destinations are sent, or fails as it is set to."""

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Taken:
    """A request."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def transitions(self) -> list[dict[str, Any]]:
        """The messages of a webhook."""
        return self.json["data"]["transitions"]


@dataclass
class Answer:
    """What the receiver says."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang: float = 0.0


class Receiver:
    """Takes requests.

    Args:
        answer: says what to answer to the n-th request (from 0) with a body; 200 to all when left out.
    """

    def __init__(self, answer: Callable[[int, bytes], Answer] | None = None) -> None:
        self.answer = answer or (lambda n, body: Answer())
        self.requests: list[Taken] = []
        lock, outer = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                if len(body) < length:  # the sender died in the middle of it: this is no request
                    return
                with lock:
                    output = outer.answer(len(outer.requests), body)
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    outer.requests.append(Taken(self.path, headers, body, output.status, time.monotonic()))
                time.sleep(output.hang)
                try:
                    self.send_response(output.status)
                    for name, value in output.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", "0")
                    self.end_headers()
                except OSError:
                    pass  # who hung up does not want to know

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def taken(self) -> list[Taken]:
        """The requests that were answered well."""
        return [request for request in self.requests if request.status < 300]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of the webhooks that were answered well, in their order."""
        return [message for request in self.taken for message in request.transitions]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class RawReceiver:
    """Reads a request and then does what it is set to with the connection; for answers no HTTP server would give.

    Args:
        answer: writes to the connection until done; nobody who hangs up is waited for.
    """

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self.requests = 0
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(30)
        self.port = int(self._server.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connected, _ = self._server.accept()
                threading.Thread(target=self._one, args=(connected,), daemon=True).start()

    def _one(self, connected: socket.socket) -> None:
        with suppress(OSError), connected:
            connected.settimeout(30)
            received = b""
            while b"\r\n\r\n" not in received:
                received += connected.recv(65_536)
            self.requests += 1
            self._answer(connected)

    def close(self) -> None:
        self._server.close()
