"""One request to a receiver nobody trusts: to a checked address, within a deadline, and without reading its answer."""

import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import cast

import httpx

from serving.activation.wire.url_guard import Target, addresses_of


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a receiver: its status and what it asks us to wait for. Its body is not read.

    Attributes:
        status: of HTTP.
        retry_after: the header, empty when there is none.
    """

    status: int
    retry_after: str


def post(target: Target, content: bytes, headers: Mapping[str, str], *, seconds: float, allow_private: bool) -> Answer:
    """Send a request; from the look-up to the last header all of it has so many seconds.

    Args:
        target: where to.
        content: the body.
        headers: beside ``Host`` and ``Content-Length``.
        seconds: until it is given up.
        allow_private: whether the address may be of a private network.

    Raises:
        ForbiddenAddressError: it is, and may not be.
        OSError: it cannot be reached, or the time is over (`TimeoutError`).
        http.client.HTTPException: what it says is not HTTP, or far too much.
    """
    deadline = _Deadline(seconds)
    wire = _connected(target, deadline, allow_private=allow_private)
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = cast(socket.socket, wire)
    try:
        connection.putrequest("POST", target.path, skip_host=True, skip_accept_encoding=True)
        for name, value in {
            "Host": target.named,
            "Content-Length": str(len(content)),
            "Connection": "close",
            **headers,
        }.items():
            connection.putheader(name, value)
        connection.endheaders(content)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers.get("Retry-After", ""))
    finally:
        connection.close()
        wire.close()


class _Deadline:
    """An end that several waits share."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then.

        Raises:
            TimeoutError: there are none.
        """
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for a request is over")
        return left


class _Wire:
    """A connection as `http.client` uses it, every wait of which ends with the deadline."""

    def __init__(self, plain: socket.socket, deadline: _Deadline) -> None:
        self._socket, self._deadline = plain, deadline

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(self._deadline.left())
            rest = rest[self._socket.send(rest) :]

    def makefile(self, _: str) -> io.BufferedReader:
        """The answer, to be read."""
        return io.BufferedReader(_Reader(self._socket, self._deadline))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class _Reader(io.RawIOBase):
    def __init__(self, connected: socket.socket, deadline: _Deadline) -> None:
        self._socket, self._deadline = connected, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # what BufferedReader hands over
        self._socket.settimeout(self._deadline.left())
        return self._socket.recv_into(buffer)


def _connected(target: Target, deadline: _Deadline, *, allow_private: bool) -> _Wire:
    """Connect to the first address that answers, of those that were checked."""
    error: OSError = OSError("the host has no address")
    for address in _looked_up(target, deadline, allow_private=allow_private):
        try:
            plain = socket.create_connection((address, target.port), timeout=deadline.left())
        except OSError as failed:
            error = failed
            continue
        if not target.secure:
            return _Wire(plain, deadline)
        try:
            plain.settimeout(deadline.left())
            return _Wire(_tls().wrap_socket(plain, server_hostname=target.host), deadline)
        except BaseException:
            plain.close()
            raise
    raise error


def _looked_up(target: Target, deadline: _Deadline, *, allow_private: bool) -> list[str]:
    """`addresses_of` within the deadline: the system's look-up takes no time limit, so it has a thread of its own.

    A look-up that is given up ends by itself, when the resolver gives up.
    """
    found: list[list[str]] = []
    failed: list[Exception] = []

    def look_up() -> None:
        try:
            found.append(addresses_of(target, allow_private=allow_private))
        except Exception as error:  # raised below, in the thread that waits
            failed.append(error)

    thread = threading.Thread(target=look_up, name="look-up", daemon=True)
    thread.start()
    thread.join(deadline.left())
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError("the host's name was not looked up in time")
    return found[0]


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)
