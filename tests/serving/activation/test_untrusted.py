"""Receivers that answer with anything, addresses that lead anywhere, settings that cannot be meant: all end well."""

import gzip
import logging
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from features.errors import PropensityError
from features.time import DAY, HOUR
from serving.activation import post as sending
from serving.activation.delivery import check_destinations
from serving.activation.notify import SERVICES, Notices, check_service
from serving.activation.url_guard import Target, addresses_of, public, target_of
from tests.segments.worlds import moving
from tests.serving.activation.receivers import Answer, RawReceiver, Receiver
from tests.serving.activation.scenes import SECRET, Scene, going_to

MakeScene = Callable[..., Scene]
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


def once(scene: Scene, name: str = "hook") -> tuple[int | None, str | None, int]:
    """One step: what was delivered, the error kept, and how many failures are counted."""
    sender = scene.sender()
    try:
        sent = sender.step(name)
    finally:
        sender.close()
    status = scene.memberships.outbox.status().row(0, named=True)
    return sent, status["error"], status["failures"]


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
    ("said", "seconds"),
    [("²", 0), ("-5", 0), ("1e9", 0), ("NaN", 0), ("soon", 0), ("Thu, 99 Foo 2026 99:99:99 GMT", 0), ("9" * 400, 0),
     ("120", 120), ("Fri, 31 Dec 9999 23:59:59 GMT", 3_600), ("99999999", 3_600)],
)  # fmt: skip
def test_retry_after_is_read_strictly(
    set_scene: MakeScene, raw: Callable[..., RawReceiver], said: str, seconds: int
) -> None:
    answer = b"HTTP/1.1 429 Slow\r\nRetry-After: " + said.encode() + b"\r\nContent-Length: 0\r\n\r\n"
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


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://host:99999/s3cr3t", "no valid host or port"),
        ("https://host:s3cr3tport/", "no valid host or port"),
        ("https://host:0/s3cr3t", "no web address"),
        ("https://" + "s3cr3t" * 12 + ".com/", "a part that is empty or too long"),
        ("https://a..b/s3cr3t", "a part that is empty or too long"),
        ("https://[::1/s3cr3t", "no valid host or port"),
        ("https://user:s3cr3t@host/", "no web address"),
        ("https:///s3cr3t", "no web address"),
        ("ftp://host/s3cr3t", "no web address"),
        ("https://host/s3cr3t\r\nX: y", "control characters"),
        ("https://host/s3cr3t x", "white space"),
        ("https://host/s3cr3té", "not ASCII"),
        ("https://ho$t/s3cr3t", "characters no name has"),
    ],
)
def test_an_address_that_cannot_be_meant_is_told_at_start_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch, url: str, why: str
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("HOOK_URL", url)
    with pytest.raises(PropensityError, match=why) as told:
        check_destinations(moving(destinations={"hook": going_to("${HOOK_URL}")}))
    assert "destinations.hook.url" in str(told.value)
    assert "s3cr3t" not in str(told.value)


@pytest.mark.parametrize(
    ("kind", "secret"),
    [("webhook", "s3cr3t, no base64"), ("webhook", "whsec_"), ("audience", "s3cr3t\nx"), ("audience", "s3cr3té")],
)
def test_a_secret_that_cannot_be_used_is_told_at_start(monkeypatch: pytest.MonkeyPatch, kind: str, secret: str) -> None:
    monkeypatch.setenv("HOOK_SECRET", secret)
    with pytest.raises(PropensityError, match=r"destinations.hook.secret \(HOOK_SECRET\)") as told:
        check_destinations(moving(destinations={"hook": going_to("https://host/", kind=kind)}))
    assert "s3cr3t" not in str(told.value)


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.88.99.1", "198.18.0.1", "0.0.0.0",  # noqa: S104
     "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1%eth0", "fec0::1", "fd00::1", "ff02::1", "::ffff:10.0.0.1",
     "::127.0.0.1", "::a00:1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::",
     "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:f5ff:fffe", "2001:db8::1"],
)  # fmt: skip
def test_addresses_that_are_not_public(text: str) -> None:
    assert not public(text)


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1", "::ffff:1.1.1.1"]
)
def test_addresses_that_are_public(text: str) -> None:
    assert public(text)


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021",
     "localhost", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "0"],
)  # fmt: skip
def test_all_spellings_of_this_machine_are_refused(set_scene: MakeScene, receiver: Receiver, host: str) -> None:
    port = receiver.url.rpartition(":")[2]
    scene = set_scene({"hook": going_to(f"http://{host}:{port}/", allow_private=False)})
    scene.enter("u1")
    assert once(scene)[0] == 0
    assert receiver.requests == []


def test_a_name_is_connected_to_as_it_was_checked(set_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that says something else the second time changes nothing: there is no second time."""
    asked: list[str] = []
    connected: list[object] = []

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        answer = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, port))]

    def connect(address: object, **_: object) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr("serving.activation.url_guard.socket.getaddrinfo", look_up)
    monkeypatch.setattr(sending.socket, "create_connection", connect)
    scene = set_scene({"hook": going_to("https://rebind.example/", allow_private=False)})
    scene.enter("u1")
    assert once(scene)[:2] == (0, "ConnectionRefusedError: Connection refused")
    assert (asked, connected) == (["rebind.example"], [("93.184.216.34", 443)])


def test_a_look_up_that_hangs_ends_with_the_deadline(set_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def look_up(*_: object, **__: object) -> list[object]:
        let_go.wait(20)
        return []

    monkeypatch.setattr("serving.activation.url_guard.socket.getaddrinfo", look_up)
    scene = set_scene({"hook": going_to("https://slow.example/", timeout=1.0)})
    scene.enter("u1")
    began = time.monotonic()
    try:
        assert once(scene) == (0, "TimeoutError", 1)
        assert time.monotonic() - began < 10
    finally:
        let_go.set()


def test_one_private_address_of_several_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", (ip, 443)) for ip in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr("serving.activation.url_guard.socket.getaddrinfo", lambda *_, **__: found)
    with pytest.raises(PropensityError, match=r"10\.0\.0\.1, an address of a private network"):
        addresses_of(Target(True, "two.example", 443, "/"), allow_private=False)


@pytest.mark.parametrize(
    "url",
    ["json://2130706433:3150/x", "json://0x7f000001/x", "json://user@2130706433/x", "xml://redis:6379", "form://intranet",
     "mailto://user:pass@example.com?smtp=10.0.0.1", "ntfy://localhost/topic", "https://127.0.0.1/", "JSON://localhost"],
)  # fmt: skip
def test_notices_go_only_to_services_with_hosts_of_their_own(url: str) -> None:
    with pytest.raises(PropensityError, match="is of no service with a host of its own") as told:
        check_service(url, key="destinations.team.url", allow_private=False)
    assert "0x7f" not in str(told.value)
    check_service(url, key="destinations.team.url", allow_private=True)


def test_the_services_name_their_own_hosts() -> None:
    """What Apprise sends to is written in its own code, not in the address."""
    from apprise import manager_plugins

    plugins = manager_plugins.NotificationManager()
    for name in SERVICES:
        plugin = plugins[name]
        assert "host" not in plugin.template_tokens, name
        assert "port" not in plugin.template_tokens, name


def test_several_addresses_in_one_are_not_split(receiver: Receiver) -> None:
    there = receiver.url.replace("http://", "json://")
    both = f"slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ, {there}"
    check_service(both, key="destinations.team.url", allow_private=False)
    with pytest.raises((PropensityError, TimeoutError)):
        Notices().send(both, "x", seconds=5.0)
    assert receiver.requests == []


def test_a_notice_that_hangs_is_given_up(receiver: Receiver) -> None:
    receiver.answer = lambda n, _: Answer(hang=2.0)
    notices, url = Notices(), receiver.url.replace("http://", "json://")
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        notices.send(url, "x", seconds=0.3)
    with pytest.raises(TimeoutError, match="still under way"):
        notices.send(url, "x", seconds=0.3)
    assert time.monotonic() - began < 2
    assert len(receiver.requests) <= 1


def test_a_target_names_itself_as_browsers_do() -> None:
    assert target_of("https://Example.com", key="x") == Target(True, "example.com", 443, "/")
    assert target_of("http://[2001:db8::1]:8080/a?b=c", key="x").named == "[2001:db8::1]:8080"
    assert target_of("https://bücher.example/", key="x").named == "xn--bcher-kva.example"


def test_everything_ends_as_a_dead_letter(set_scene: MakeScene, raw: Callable[..., RawReceiver]) -> None:
    scene = set_scene({"hook": going_to(raw(garbage).url, give_up="1d")})
    scene.enter("u1")
    once(scene)
    scene.clock.at += 2 * DAY
    once(scene)
    assert scene.memberships.outbox.dead()["error"].to_list() == ["BadStatusLine"]
