"""Notices go only to services with hosts of their own, and one that hangs is given up."""

import time

import pytest

from features.errors import PropensityError
from serving.activation.wire.notify import SERVICES, Notices, check_service
from tests.serving.activation.receivers import Answer, Receiver


@pytest.mark.parametrize(
    "url",
    ["json://2130706433:3150/x", "json://0x7f000001/x", "json://user@2130706433/x", "xml://redis:6379", "form://intranet",
     "mailto://user:pass@example.com?smtp=10.0.0.1", "ntfy://localhost/topic", "https://127.0.0.1/", "JSON://localhost"],
)  # fmt: skip
def test_notices_go_only_to_services_with_hosts_of_their_own(url: str) -> None:
    with pytest.raises(PropensityError, match="names a service whose host is not fixed") as caught:
        check_service(url, key="destinations.team.url", allow_private=False)
    assert "0x7f" not in str(caught.value)
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
    with pytest.raises(TimeoutError, match="still being sent"):
        notices.send(url, "x", seconds=0.3)
    assert time.monotonic() - began < 2
    assert len(receiver.requests) <= 1
