"""Signing in by OpenID Connect, at a provider that speaks the whole protocol: the way, and whom it lets in."""

import re
import sys
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import sqlalchemy as sa

from serving.console.signing_in.oidc import name_of
from serving.database.console.sessions import LASTS, Sessions
from serving.database.console.tables import logins as table
from serving.database.console.tables import sessions
from tests.serving.console.mounted import Mounted
from tests.serving.console.provider import Provider
from tests.serving.console.steps import back_from, refused, sign_in


def test_the_whole_way(console: Mounted, provider: Provider) -> None:
    browser = console.client("http://localhost")
    asked = browser.get("/console/log")
    form = browser.get(asked.headers["location"])
    [link] = re.findall(r'href="(/console/sign-in/oidc[^"]*)"', form.text)
    assert 'name="key"' in form.text, "keys still work"
    start = browser.get(link)
    cookie = start.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/console/sign-in/oidc", "Max-Age=600"))
    page = browser.get(back_from(start.headers["location"]))
    assert (page.status_code, page.headers["location"]) == (303, "/console/log")
    shown = browser.get("/console/log")
    assert shown.status_code == 200
    assert "ann@example.com" in shown.text
    assert '<span class="quiet">editor</span>' in shown.text
    assert console.signed_in() == [("ann@example.com", "ann@example.com", {"by": "oidc", "subject": "u-17"})]
    with console.log.reading() as connection:
        [row] = connection.execute(sa.select(sessions)).all()
        assert connection.execute(sa.select(table)).all() == [], "a login is over once it was used"
    assert row.key_hash is None
    assert "propensity_login" not in browser.cookies
    assert provider.asked == ["/.well-known/openid-configuration", "/authorize", "/token", "/keys"]
    assert sign_in(console.client("http://localhost")).status_code == 303
    assert provider.asked[4:] == ["/authorize", "/token"], "configuration and keys are known for an hour"


def test_cookies_of_a_console_under_https_are_secure(make: Callable[..., Mounted]) -> None:
    console = make(console_url="https://shop.example.com/")
    browser = console.client("https://shop.example.com")
    start = browser.get("/console/sign-in/oidc")
    assert "Secure" in start.headers["set-cookie"]
    query = parse_qs(urlsplit(start.headers["location"]).query)
    assert query["redirect_uri"] == ["https://shop.example.com/console/sign-in/oidc/return"]


def test_signing_out_and_the_end_of_a_session(console: Mounted) -> None:
    browser = console.client("http://localhost")
    sign_in(browser)
    console.clock.at += LASTS - 1
    page = browser.get("/console/users")
    assert page.status_code == 200
    cookie = browser.cookies["propensity_console"]
    csrf = re.findall(r'name="csrf" value="([^"]+)"', page.text)[0]
    assert browser.post("/console/sign-out", data={"csrf": "guessed"}).status_code == 403
    out = browser.post("/console/sign-out", data={"csrf": csrf})
    assert out.headers["location"] == "/console/sign-in"
    assert Sessions(console.log).find(cookie, console.clock.now()) is None
    sign_in(browser)
    console.clock.at += LASTS
    assert browser.get("/console/users").status_code == 303


def test_signing_in_again_ends_the_session_before(console: Mounted) -> None:
    browser = console.client("http://localhost")
    sign_in(browser)
    first = browser.cookies["propensity_console"]
    sign_in(browser)
    assert browser.cookies["propensity_console"] != first
    assert Sessions(console.log).find(first, console.clock.now()) is None


@pytest.mark.parametrize(
    ("secret", "ways"), [("s3cret/+ of ours", ["client_secret_post"]), (None, ["none"])]
)  # fmt: skip
def test_a_client_with_its_secret_in_the_form_and_a_public_one(
    make: Callable[..., Mounted], provider: Provider, secret: str | None, ways: list[str]
) -> None:
    provider.secret, provider.more["token_endpoint_auth_methods_supported"] = secret, ways
    assert sign_in(make(oidc_client_secret=secret).client("http://localhost")).status_code == 303


def test_a_wrong_secret(make: Callable[..., Mounted]) -> None:
    console = make(oidc_client_secret="wrong")
    refused(sign_in(console.client("http://localhost")), 403, "invalid_client")


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example", "//evil.example", "/console//evil.example", "/console/\\evil.example", "/score", "",
     "/console/../\t/evil.example"],
)  # fmt: skip
def test_signing_in_leads_to_no_other_site(console: Mounted, elsewhere: str) -> None:
    browser = console.client("http://localhost")
    page = sign_in(browser, elsewhere)
    assert page.status_code == 303
    landed = httpx.URL("http://localhost/console/sign-in/oidc/return").join(page.headers["location"])
    assert landed.host == "localhost"
    assert page.headers["location"].startswith("/console/")


@pytest.mark.parametrize(
    "groups",
    [[], ["everybody"], ["Marketing"], "marketing,data", None, {"marketing": True}, [["marketing"]], 5, ["write"]],
)
def test_groups_without_a_role_let_nobody_in(console: Mounted, provider: Provider, groups: object) -> None:
    provider.person["groups"] = groups
    refused(sign_in(console.client("http://localhost")), 403, "PROPENSITY_CONSOLE_ROLES")
    assert console.signed_in() == []
    with console.log.reading() as connection:
        assert connection.execute(sa.select(sessions)).all() == []


def test_roles_of_groups_are_united_from_the_claim_that_the_settings_name(
    make: Callable[..., Mounted], provider: Provider
) -> None:
    provider.person |= {"groups": ["data"], "cognito:groups": ["marketing", "data", "other", 7]}
    browser = make(oidc_groups_claim="cognito:groups").client("http://localhost")
    sign_in(browser)
    assert '<span class="quiet">editor, privacy</span>' in browser.get("/console/users").text


def test_what_somebody_is_called() -> None:
    sub = {"sub": "u-17"}
    assert name_of(sub | {"email": "a@b.c", "email_verified": True, "preferred_username": "ann"}) == "a@b.c"
    assert name_of(sub | {"email": "a@b.c", "preferred_username": "ann"}) == "ann"
    for other in ({"email": "a@b.c"}, {"preferred_username": ""}, {"preferred_username": "a\nb"},
                  {"preferred_username": 5}, {"preferred_username": "a" * 201}):  # fmt: skip
        assert name_of(sub | other) == "subject u-17"


def test_without_the_packages_there_are_words(console: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "authlib", None)
    page = console.client("http://localhost").get("/console/sign-in/oidc")
    refused(page, 503, "pip install propensity[oidc]")


def test_a_console_without_it(make: Callable[..., Mounted]) -> None:
    console = make(oidc_issuer="", oidc_client_id="")
    browser = console.client("http://localhost")
    assert "/sign-in/oidc" not in browser.get("/console/sign-in").text
    for path in ("", "/return?state=a&code=b"):
        refused(browser.get(f"/console/sign-in/oidc{path}"), 404, "PROPENSITY_OIDC_ISSUER")
    cookie, _ = Sessions(console.log).start("ann", ["admin"], console.clock.now())
    browser.cookies.set("propensity_console", cookie)
    assert browser.get("/console/users").status_code == 303, "a session of before the settings changed"


def test_error_pages_are_in_the_language_of_the_browser(console: Mounted) -> None:
    page = console.client("http://localhost").get("/console/sign-in/oidc/return", headers={"accept-language": "ko"})
    refused(page, 403, "이 브라우저에서 시작되지 않았거나")
