"""Addresses and secrets that cannot be used are refused at start, and only public ones are connected to."""

import socket
import threading
import time

import pytest

from features.errors import PropensityError
from serving.activation.delivery import check_destinations
from serving.activation.wire import post as sending
from serving.activation.wire.url_guard import Target, addresses_of, public, target_of
from tests.segments.worlds import moving
from tests.serving.activation.receivers import Receiver
from tests.serving.activation.scenes import SECRET, MakeScene, going_to, once


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://host:99999/s3cr3t", "no valid host or port"),
        ("https://host:s3cr3tport/", "no valid host or port"),
        ("https://host:0/s3cr3t", "not a web address"),
        ("https://" + "s3cr3t" * 12 + ".com/", "a part that is empty or too long"),
        ("https://a..b/s3cr3t", "a part that is empty or too long"),
        ("https://[::1/s3cr3t", "no valid host or port"),
        ("https://user:s3cr3t@host/", "not a web address"),
        ("https:///s3cr3t", "not a web address"),
        ("ftp://host/s3cr3t", "not a web address"),
        ("https://host/s3cr3t\r\nX: y", "control characters"),
        ("https://host/s3cr3t x", "white space"),
        ("https://host/s3cr3té", "not ASCII"),
        ("https://ho$t/s3cr3t", "characters no name has"),
    ],
)
def test_an_address_that_cannot_be_meant_is_reported_at_start_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch, url: str, why: str
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("HOOK_URL", url)
    with pytest.raises(PropensityError, match=why) as caught:
        check_destinations(moving(destinations={"hook": going_to("${HOOK_URL}")}))
    assert "destinations.hook.url" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "secret"),
    [("webhook", "s3cr3t, no base64"), ("webhook", "whsec_"), ("audience", "s3cr3t\nx"), ("audience", "s3cr3té")],
)
def test_a_secret_that_cannot_be_used_is_reported_at_start(
    monkeypatch: pytest.MonkeyPatch, kind: str, secret: str
) -> None:
    monkeypatch.setenv("HOOK_SECRET", secret)
    with pytest.raises(PropensityError, match=r"destinations.hook.secret \(HOOK_SECRET\)") as caught:
        check_destinations(moving(destinations={"hook": going_to("https://host/", kind=kind)}))
    assert "s3cr3t" not in str(caught.value)


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

    monkeypatch.setattr("serving.activation.wire.url_guard.socket.getaddrinfo", look_up)
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

    monkeypatch.setattr("serving.activation.wire.url_guard.socket.getaddrinfo", look_up)
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
    monkeypatch.setattr("serving.activation.wire.url_guard.socket.getaddrinfo", lambda *_, **__: found)
    with pytest.raises(PropensityError, match=r"10\.0\.0\.1, an address of a private network"):
        addresses_of(Target(True, "two.example", 443, "/"), allow_private=False)


def test_a_target_names_itself_as_browsers_do() -> None:
    assert target_of("https://Example.com", key="x") == Target(True, "example.com", 443, "/")
    assert target_of("http://[2001:db8::1]:8080/a?b=c", key="x").named == "[2001:db8::1]:8080"
    assert target_of("https://bücher.example/", key="x").named == "xn--bcher-kva.example"
