"""Receivers that answer with anything, addresses that lead anywhere, settings that cannot be meant: all end well."""

import gzip
import logging
import resource
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from features.time import DAY, HOUR
from tests.serving.activation.receivers import Answer, RawReceiver, Receiver
from tests.serving.activation.scenes import MakeScene, going_to, once

OK = b"HTTP/1.1 200 OK\r\n"


def endless(connected: socket.socket) -> None:
    connected.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"fffe\r\n" + b"x" * 0xFFFE + b"\r\n"
    while True:
        connected.sendall(chunk)


def drip(connected: socket.socket) -> None:
    for byte in OK * 1_000:
        connected.sendall(bytes([byte]))
        time.sleep(0.05)


def headers_without_end(connected: socket.socket) -> None:
    connected.sendall(OK)
    while True:
        connected.sendall(b"x: " + b"y" * 60_000 + b"\r\n")


def a_line_without_end(connected: socket.socket) -> None:
    while True:
        connected.sendall(b"HTTP/1.1 200 " + b"y" * 60_000)


def continues_without_end(connected: socket.socket) -> None:
    while True:
        connected.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def bomb(connected: socket.socket) -> None:
    body = gzip.compress(b"0" * 50_000_000)
    connected.sendall(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def garbage(connected: socket.socket) -> None:
    connected.sendall(b"\x00\xff garbage\r\n\r\n")


def nothing(connected: socket.socket) -> None:
    connected.shutdown(socket.SHUT_RDWR)


def charset(connected: socket.socket) -> None:
    connected.sendall(b"HTTP/1.1 503 x\r\nContent-Type: text/plain; charset=zlib_codec\r\nContent-Length: 1\r\n\r\nx")


@pytest.fixture
def raw() -> Iterator[Callable[[Callable[[socket.socket], None]], RawReceiver]]:
    opened: list[RawReceiver] = []

    def make(answer: Callable[[socket.socket], None]) -> RawReceiver:
        opened.append(RawReceiver(answer))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.mark.parametrize(
    ("answer", "delivered"),
    [(endless, True), (bomb, True), (drip, False), (headers_without_end, False), (a_line_without_end, False),
     (continues_without_end, False), (garbage, False), (nothing, False), (charset, False)],
)  # fmt: skip
def test_any_answer_ends_in_time_and_is_not_kept(
    set_scene: MakeScene, raw: Callable[..., RawReceiver], answer: Callable[[socket.socket], None], delivered: bool
) -> None:
    scene = set_scene({"hook": going_to(raw(answer).url, timeout=1.0)})
    scene.enter("u1")
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    sent, error, failures = once(scene)
    assert time.monotonic() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kB"
    assert (sent, failures) == ((1, 0) if delivered else (0, 1))
    assert delivered == (error is None)
    assert scene.memberships.outbox.status()["waiting"][0] == (0 if delivered else 1)


@pytest.mark.parametrize(
    ("output", "seconds"),
    [("²", 0), ("-5", 0), ("1e9", 0), ("NaN", 0), ("soon", 0), ("Thu, 99 Foo 2026 99:99:99 GMT", 0), ("9" * 400, 0),
     ("120", 120), ("Fri, 31 Dec 9999 23:59:59 GMT", 3_600), ("99999999", 3_600)],
)  # fmt: skip
def test_retry_after_is_read_strictly(
    set_scene: MakeScene, raw: Callable[..., RawReceiver], output: str, seconds: int
) -> None:
    answer = b"HTTP/1.1 429 Slow\r\nRetry-After: " + output.encode() + b"\r\nContent-Length: 0\r\n\r\n"
    scene = set_scene({"hook": going_to(raw(lambda connected: connected.sendall(answer)).url)})
    scene.enter("u1")
    assert once(scene) == (0, "HTTP 429", 1)
    scene.clock.at += (seconds - 1) * 1_000_000 if seconds else 0
    assert once(scene)[2] == 1, "not yet"
    scene.clock.at += 3_000_000
    assert once(scene)[2] == 2


def test_a_date_says_when_to_come_back(set_scene: MakeScene, receiver: Receiver) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    receiver.answer = lambda n, _: Answer(503, {"Retry-After": date})
    scene = set_scene({"hook": going_to(receiver.url)})
    scene.enter("u1")
    once(scene)
    scene.clock.at += 500 * 1_000_000
    assert once(scene)[2] == 1


def test_what_nobody_expected_is_a_failure_with_an_end(
    set_scene: MakeScene, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def surprise(*_: object, **__: object) -> None:
        raise RuntimeError("s3cr3t of u1")

    monkeypatch.setattr("serving.activation.delivery.post", surprise)
    scene = set_scene({"hook": going_to(receiver.url, give_up="2h")})
    scene.enter("u1")
    with caplog.at_level(logging.DEBUG):
        assert once(scene) == (0, "RuntimeError", 1)
        assert once(scene)[2] == 1, "it waits"
        scene.clock.at += 3 * HOUR
        once(scene)
    assert scene.memberships.outbox.dead()["error"].to_list() == ["RuntimeError"]
    assert "s3cr3t" not in caplog.text
    assert "u1" not in caplog.text


def test_what_a_receiver_echoes_is_kept_nowhere(
    set_scene: MakeScene, raw: Callable[..., RawReceiver], caplog: pytest.LogCaptureFixture
) -> None:
    echo = b"HTTP/1.1 400 u1-in-the-reason\r\nX-Echo: u1\r\nContent-Length: 12\r\n\r\nno such u1!!"
    scene = set_scene({"hook": going_to(raw(lambda connected: connected.sendall(echo)).url)})
    scene.enter("u1")
    with caplog.at_level(logging.DEBUG):
        once(scene)
    assert scene.memberships.outbox.dead()["error"].to_list() == ["HTTP 400"]
    assert "u1" not in caplog.text


def test_everything_ends_as_a_dead_letter(set_scene: MakeScene, raw: Callable[..., RawReceiver]) -> None:
    scene = set_scene({"hook": going_to(raw(garbage).url, give_up="1d")})
    scene.enter("u1")
    once(scene)
    scene.clock.at += 2 * DAY
    once(scene)
    assert scene.memberships.outbox.dead()["error"].to_list() == ["BadStatusLine"]
