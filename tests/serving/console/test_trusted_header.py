"""Signing in through a proxy: its headers are believed from its own addresses, and from nowhere else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import httpx
import pytest
import sqlalchemy as sa

from features.errors import SettingsError
from features.settings import ConsoleRole, Settings
from features.time import HOUR
from serving.console.signing_in.trusted_header import is_one_of
from serving.database.console.sessions import LASTS, Sessions
from serving.database.console.tables import sessions
from serving.desk.keys import Keys
from serving.desk.roles import CONSOLE
from tests.serving.console.mounted import Browser, Mounted

ROLES = {"marketing": "editor", "data": "privacy", "interns": "viewer"}
WAY = {"console_user_header": "X-User", "console_groups_header": "X-Groups", "console_roles": ROLES}
ANN = {"x-user": "ann@example.com", "x-groups": "marketing, everybody"}


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Mounted]:
    made = Mounted(tmp_path, **WAY)
    yield made
    made.close()


def csrf_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


def roles_on(page: httpx.Response) -> str:
    found = re.search(r'<span class="quiet">([^<]*)</span>', page.text)
    assert found is not None, page.text
    return found[1]


def test_whom_the_proxy_names_is_signed_in_at_once(console: Mounted) -> None:
    client = console.client()
    page = client.get("/console/users", headers=ANN)
    assert page.status_code == 200
    assert "ann@example.com" in page.text
    assert roles_on(page) == "editor"
    assert console.signed_in() == [("ann@example.com", "ann@example.com", {"by": "proxy"})]
    again = client.get("/console/users", headers=ANN)
    assert csrf_of(again) == csrf_of(page), "it is the same session"
    assert len(console.signed_in()) == 1
    with console.log.reading() as connection:
        [row] = connection.execute(sa.select(sessions)).all()
    assert row.key_hash is None
    form = client.get("/console/sign-in", headers=ANN)
    assert (form.status_code, form.headers["location"]) == (303, "/console/")


def test_roles_of_two_groups_are_united_and_unknown_groups_give_nothing(console: Mounted) -> None:
    both = console.client().get("/console/users", headers=ANN | {"x-groups": "data,marketing,other"})
    assert roles_on(both) == "editor, privacy"
    for groups in ("other", "", "MARKETING", "marketing interns", "write"):
        page = console.client().get("/console/users", headers=ANN | {"x-groups": groups})
        assert page.status_code == 403, groups
        assert "PROPENSITY_CONSOLE_ROLES" in page.text
        assert "set-cookie" not in page.headers
    without = console.client().get("/console/users", headers={"x-user": "ann"})
    assert without.status_code == 403


def sessions_of(console: Mounted) -> int:
    with console.log.reading() as connection:
        return len(connection.execute(sa.select(sessions)).all())


def test_a_client_without_cookies_is_written_down_once_an_hour(console: Mounted) -> None:
    """A script or a probe behind the proxy: each request comes without the cookie of the one before."""
    for _ in range(5):
        assert console.client().get("/console/users", headers=ANN).status_code == 200
    assert len(console.signed_in()) == 1
    assert sessions_of(console) == 1
    console.client().get("/console/users", headers={**ANN, "x-user": "bob@example.com"})
    console.client().get("/console/users", headers={**ANN, "x-groups": "data"})
    assert [who for who, *_ in console.signed_in()] == ["ann@example.com", "bob@example.com", "ann@example.com"], (
        "another person, and another role"
    )
    console.clock.at += HOUR - 1
    console.client().get("/console/users", headers=ANN)
    assert len(console.signed_in()) == 3
    console.clock.at += 1
    for _ in range(5):
        console.client().get("/console/users", headers=ANN)
    assert len(console.signed_in()) == 4


def test_who_signs_out_gets_a_new_session_and_no_second_row_within_the_hour(console: Mounted) -> None:
    client = console.client()
    page = client.get("/console/users", headers=ANN)
    assert client.post("/console/sign-out", headers=ANN, data={"csrf": csrf_of(page)}).status_code == 200
    again = console.client().get("/console/users", headers=ANN)
    assert csrf_of(again) != csrf_of(page)
    assert len(console.signed_in()) == 1


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.2", "::2", "testclient", ""])
def test_headers_from_elsewhere_are_refused(console: Mounted, address: str) -> None:
    client = console.client(address=address)
    for path in ("/console/", "/console/users", "/console/sign-in"):
        page = client.get(path, headers=ANN)
        assert page.status_code == 403, path
        assert "PROPENSITY_CONSOLE_PROXY" in page.text
    mine = console.client()
    mine.get("/console/users", headers=ANN)
    client.cookies.update(mine.cookies)
    assert client.get("/console/users", headers=ANN).status_code == 403, "a session that somebody else has"
    assert client.get("/console/users").status_code == 403
    assert len(console.signed_in()) == 1


def test_what_a_caller_says_of_the_address_before_it_counts_for_nothing(console: Mounted) -> None:
    """As uvicorn does where FORWARDED_ALLOW_IPS trusts everybody: the client is then what a header says."""

    async def served(scope: dict, receive: object, send: object) -> None:
        scope["state"] = {"peer": peer}
        scope["client"] = ("127.0.0.1", 0)
        await console.app(scope, receive, send)

    peer = ("10.0.0.1", 4)
    client = Browser(served)
    assert client.get("/console/users", headers=ANN).status_code == 403
    peer = ("::ffff:127.0.0.1", 4)
    assert client.get("/console/users", headers=ANN).status_code == 200


def test_networks_of_the_proxy(tmp_path: Path) -> None:
    made = Mounted(tmp_path, **WAY, console_proxy="10.1.0.0/16, fd00::/8")
    for address, status in (("10.1.2.3", 200), ("fd00::7", 200), ("10.2.0.1", 403), ("127.0.0.1", 403)):
        assert made.client(address=address).get("/console/users", headers=ANN).status_code == status, address
    made.close()
    assert is_one_of("::ffff:10.1.0.9", "10.1.0.0/16")
    assert not is_one_of("10.1.0.9.evil", "10.1.0.0/16")


@pytest.mark.parametrize("header", ["x-user", "x-groups"])
def test_a_header_that_is_there_twice_is_refused(console: Mounted, header: str) -> None:
    twice = [*ANN.items(), (header, "somebody")]
    page = console.client().get("/console/users", headers=twice)
    assert page.status_code == 403
    assert "more than once" in page.text


@pytest.mark.parametrize("user", ["", "  ", "a" * 201, "ann\x07", b"\xff\xfe"])
def test_what_is_no_name_is_refused(console: Mounted, user: str | bytes) -> None:
    page = console.client().get("/console/users", headers={**ANN, "x-user": user})
    assert page.status_code == 403
    assert console.client().get("/console/users", headers={"x-groups": "marketing"}).status_code == 403
    assert console.signed_in() == []


def test_a_name_in_another_script_is_shown_as_it_is(console: Mounted) -> None:
    page = console.client().get("/console/users", headers={**ANN, "x-user": "홍길동".encode()})
    assert page.status_code == 200
    assert "홍길동" in page.text


@pytest.mark.parametrize("changed", [{"x-user": "bob@example.com"}, {"x-groups": "interns"}])
def test_another_user_or_other_groups_have_a_new_session(console: Mounted, changed: dict[str, str]) -> None:
    client = console.client()
    first = csrf_of(client.get("/console/users", headers=ANN))
    cookie = client.cookies["propensity_console"]
    page = client.get("/console/users", headers=ANN | changed)
    assert csrf_of(page) != first
    assert Sessions(console.log).find(cookie, console.clock.now()) is None, "the one before is over"
    refused = client.post("/console/users", headers=ANN | changed, data={"csrf": first, "user_id": "u1"})
    assert refused.status_code == 403
    done = client.post("/console/users", headers=ANN | changed, data={"csrf": csrf_of(page), "user_id": "u1"})
    assert done.status_code == 303


def test_a_form_of_another_site_does_nothing(console: Mounted) -> None:
    client = console.client()
    assert client.post("/console/users", headers=ANN, data={"user_id": "u1"}).status_code == 403
    csrf = csrf_of(client.get("/console/users", headers=ANN))
    sent = {"csrf": csrf, "user_id": "u1"}
    assert client.post("/console/users", headers=ANN | {"sec-fetch-site": "cross-site"}, data=sent).status_code == 403


def test_signing_out_ends_the_session_and_names_the_proxy(console: Mounted) -> None:
    client = console.client()
    csrf = csrf_of(client.get("/console/users", headers=ANN))
    cookie = client.cookies["propensity_console"]
    page = client.post("/console/sign-out", headers=ANN, data={"csrf": csrf})
    assert page.status_code == 200
    assert "proxy" in page.text
    assert Sessions(console.log).find(cookie, console.clock.now()) is None
    assert "propensity_console" not in client.cookies


def test_a_session_ends_and_another_begins(console: Mounted) -> None:
    client = console.client()
    first = csrf_of(client.get("/console/users", headers=ANN))
    console.clock.at += LASTS
    assert csrf_of(client.get("/console/users", headers=ANN)) != first


def test_keys_do_not_sign_in_beside_a_proxy(console: Mounted) -> None:
    secret = Keys(console.log).create("mine", "admin")
    page = console.client().post("/console/sign-in", headers=ANN, data={"key": secret})
    assert page.status_code == 403
    assert "proxy" in page.text


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({**WAY, "console_roles": {}}, "PROPENSITY_CONSOLE_ROLES"),
        ({**WAY, "console_groups_header": ""}, "PROPENSITY_CONSOLE_GROUPS_HEADER"),
        ({**WAY, "console_user_header": ""}, "PROPENSITY_CONSOLE_USER_HEADER"),
        ({**WAY, "console_proxy": "10.0.0.1/8"}, "10.0.0.1/8"),
        ({**WAY, "console_proxy": ""}, "PROPENSITY_CONSOLE_PROXY"),
        ({**WAY, "console_roles": {"senders": "write"}}, "PROPENSITY_CONSOLE_ROLES"),
        ({**WAY, "console_roles": "{marketing"}, "not JSON"),
        ({**WAY, "auth": "off"}, "PROPENSITY_AUTH"),
        ({**WAY, "oidc_issuer": "https://id.example.com"}, "PROPENSITY_OIDC_ISSUER"),
        ({"oidc_issuer": "https://id.example.com"}, "PROPENSITY_OIDC_CLIENT_ID, PROPENSITY_CONSOLE_URL"),
        ({"oidc_client_id": "console"}, "PROPENSITY_OIDC_ISSUER"),
        ({"oidc_issuer": "http://id.example.com"}, "https://"),
        ({"console_url": "https://user@shop.example.com"}, "PROPENSITY_CONSOLE_URL"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(given: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(named)):
        Settings(**given)


def test_roles_come_from_the_environment_and_are_those_of_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROPENSITY_CONSOLE_ROLES", '{"a group": "admin"}')
    assert Settings().console_roles == {"a group": "admin"}
    monkeypatch.setenv("PROPENSITY_CONSOLE_ROLES", "")
    assert Settings().console_roles == {}
    assert set(get_args(ConsoleRole)) == set(CONSOLE)
    assert "write" not in CONSOLE
