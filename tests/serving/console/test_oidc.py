"""Signing in by OpenID Connect, at a provider that speaks the whole protocol; and each way to get in without one."""

import base64
import hashlib
import hmac
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from features.time import MINUTE
from serving.console import oidc_answers, oidc_provider
from serving.console.oidc import name_of
from serving.database import logins
from serving.database.console_tables import logins as table
from serving.database.console_tables import make_tables, sessions
from serving.database.sessions import LASTS, Sessions
from serving.desk.keys import Keys
from tests.serving.console.mounted import Browser, Mounted
from tests.serving.console.provider import Provider

ROLES = {"marketing": "editor", "data": "privacy"}


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


@pytest.fixture
def make(tmp_path: Path, provider: Provider) -> Iterator[Callable[..., Mounted]]:
    opened: list[Mounted] = []

    def mounted(**more: Any) -> Mounted:
        way = {"oidc_issuer": provider.issuer, "oidc_client_id": provider.client, "console_roles": ROLES,
               "oidc_client_secret": provider.secret}  # fmt: skip
        settings = way | {"console_url": "http://localhost"} | more
        provider.redirect = f"{settings['console_url']}/console/sign-in/oidc/return"
        opened.append(Mounted(tmp_path, **settings))
        return opened[-1]

    yield mounted
    for one in opened:
        one.close()


@pytest.fixture
def console(make: Callable[..., Mounted]) -> Mounted:
    return make()


def begun(browser: Browser, onward: str = "/console/users") -> str:
    """The address at the provider that somebody is sent to."""
    page = browser.get(f"/console/sign-in/oidc?next={quote(onward)}")
    assert page.status_code == 303, page.text
    return page.headers["location"]


def back_from(address: str) -> str:
    """The address that the provider sends somebody back to."""
    return httpx.get(address).headers["location"]


def sign_in(browser: Browser, onward: str = "/console/users") -> httpx.Response:
    return browser.get(back_from(begun(browser, onward)))


def refused(page: httpx.Response, status: int, words: str) -> None:
    """It is an error page in words, which lets nobody in and shows nothing of a token."""
    text = re.sub(r"<[^>]+>", "", page.text.replace("&#39;", "'"))
    assert (page.status_code, page.headers["content-type"][:9]) == (status, "text/html"), text
    assert words in text
    assert "propensity_console=" not in page.headers.get("set-cookie", "")
    assert "eyJ" not in page.text
    assert "ann@example.com" not in page.text


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


@pytest.mark.parametrize("state", ["", "guessed", None])
def test_a_wrong_state(console: Mounted, provider: Provider, state: str | None) -> None:
    browser = console.client("http://localhost")
    query = parse_qs(urlsplit(back_from(begun(browser))).query)
    given = {"code": query["code"][0]} | ({} if state is None else {"state": state})
    refused(browser.get("/console/sign-in/oidc/return", params=given), 403, "not begun in this browser")
    assert "/token" not in provider.asked


def test_a_state_and_a_code_count_once(console: Mounted, provider: Provider) -> None:
    browser = console.client("http://localhost")
    start = browser.get("/console/sign-in/oidc")
    kept = browser.cookies["propensity_login"]
    back = back_from(start.headers["location"])
    assert browser.get(back).status_code == 303
    browser.cookies.set("propensity_login", kept, domain="localhost.local", path="/console/sign-in/oidc")
    refused(browser.get(back), 403, "was used already")
    other = begun(browser)
    state = parse_qs(urlsplit(other).query)["state"][0]
    code = parse_qs(urlsplit(back).query)["code"][0]
    replayed = {"state": state, "code": code}
    refused(browser.get("/console/sign-in/oidc/return", params=replayed), 403, "invalid_grant")


def test_a_login_of_another_browser_signs_nobody_in(console: Mounted) -> None:
    """Somebody sends their own way back to a victim, who would then work as them; or steals a victim's."""
    mine, victim = console.client("http://localhost"), console.client("http://localhost")
    back = back_from(begun(mine))
    refused(victim.get(back), 403, "not begun in this browser")
    begun(victim)
    refused(victim.get(back), 403, "not begun in this browser")
    assert mine.get(back).status_code == 303, "that did not use it up"


def test_a_code_of_another_login_is_no_use_without_its_verifier(console: Mounted) -> None:
    mine, victim = console.client("http://localhost"), console.client("http://localhost")
    stolen = parse_qs(urlsplit(back_from(begun(victim))).query)["code"][0]
    state = parse_qs(urlsplit(begun(mine)).query)["state"][0]
    page = mine.get("/console/sign-in/oidc/return", params={"state": state, "code": stolen})
    refused(page, 403, "invalid_grant")


def test_a_login_ends_after_ten_minutes_by_the_services_clock(console: Mounted) -> None:
    assert logins.LASTS == 10 * MINUTE
    browser = console.client("http://localhost")
    back = back_from(begun(browser))
    console.clock.at += logins.LASTS
    refused(browser.get(back), 403, "older than 10 minutes")
    back = back_from(begun(browser))
    console.clock.at += logins.LASTS - 1
    assert browser.get(back).status_code == 303


def test_logins_are_kept_as_hashes_and_not_without_end(console: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tables(console.log)
    kept = logins.Logins(console.log)
    state, browser, login = kept.start("/console/", 100)
    with console.log.reading() as connection:
        rows = str(connection.execute(sa.select(table)).all())
    assert state not in rows
    assert browser not in rows
    monkeypatch.setattr(logins, "MOST", 3)
    for at in range(101, 105):
        kept.start("/console/", at)
    with console.log.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 3
    assert kept.take(state, browser, 105) is None
    state, browser, login = kept.start("/console/", 105)
    assert kept.take(state, "other", 106) is None
    assert kept.take(state, browser, 106) == login
    assert kept.take(state, browser, 106) is None


def unsigned(claims: dict[str, Any]) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}."


def by_public_key(provider: Provider) -> Callable[[dict[str, Any]], str]:
    """HS256, with the text of the public key as the secret."""

    def sign(claims: dict[str, Any]) -> str:
        head = json.dumps({"alg": "HS256", "kid": "first"}).encode()
        parts = [base64.urlsafe_b64encode(x).rstrip(b"=") for x in (head, json.dumps(claims).encode())]
        secret = provider.keys[0].as_pem(private=False)
        digest = hmac.digest(secret, b".".join(parts), hashlib.sha256)
        return b".".join([*parts, base64.urlsafe_b64encode(digest).rstrip(b"=")]).decode()

    return sign


def by_another(kid: str | None, kind: str = "RS256") -> Callable[[dict[str, Any]], str]:
    """By a key that is not the provider's, under some name."""
    key = RSAKey.generate_key(2048) if kind[0] != "E" else ECKey.generate_key("P-256")
    head = {"alg": kind} | ({"kid": kid} if kid else {})
    return lambda claims: jwt.encode(head, claims, key, [kind])


def test_signatures_that_are_not_the_providers(console: Mounted, provider: Provider) -> None:
    own = provider.keys[0]
    signs = [
        unsigned, by_public_key(provider), by_another("first"), by_another("unknown"), by_another(None),
        by_another("first", "ES256"), by_another("first", "PS256"),
        lambda claims: jwt.encode({"alg": "RS512", "kid": "first"}, claims, own, ["RS512"]),
        lambda claims: provider.signed(claims)[:-6] + "AAAAAA",
        lambda claims: "nonsense", lambda claims: "a.b.c", lambda claims: "",
    ]  # fmt: skip
    for number, sign in enumerate(signs):
        provider.sign = sign
        page = sign_in(console.client("http://localhost"))
        refused(page, 403, "its signature is not one of the provider's keys")
        assert console.signed_in() == [], number


def _set(**more: Any) -> Callable[[dict[str, Any]], None]:
    return lambda claims: claims.update(more)


def _without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda claims: claims.__delitem__(name)


NOW = int(time.time())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set(nonce="another"), "claim nonce"),
        (_without("nonce"), "claim nonce"),
        (_set(iss="https://evil.example"), "claim iss"),
        (_without("iss"), "claim iss"),
        (_set(aud="another"), "claim aud"),
        (_set(aud=["another"]), "claim aud"),
        (_set(aud=["console", "another"]), "claim azp"),
        (_set(aud=["console", "another"], azp="another"), "claim azp"),
        (_set(azp="another"), "claim azp"),
        (_without("aud"), "claim aud"),
        (_set(exp=NOW - 3_600), "expired"),
        (_set(exp=NOW - 61), "expired"),
        (_set(exp="never"), "claim exp"),
        (_without("exp"), "claim exp"),
        (_set(iat=NOW + 3_600), "claim iat"),
        (_set(nbf=NOW + 3_600), "claim nbf"),
        (_set(at_hash="wrong"), "claim at_hash"),
        (_set(at_hash=["x"]), "its answer to the code"),
        (_without("sub"), "claim sub"),
        (_set(sub=17), "claim sub"),
    ],
)
def test_claims_that_do_not_hold(
    console: Mounted, provider: Provider, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    provider.change = change
    status = 503 if "answer" in words else 403
    refused(sign_in(console.client("http://localhost")), status, words)
    assert console.signed_in() == []


def test_claims_that_hold_however_they_are_written(console: Mounted, provider: Provider) -> None:
    """Times are those of the machine: the service's clock shows 2024 here."""
    for change in (_set(exp=int(time.time()) - 30), _set(aud=["console"]), _set(azp="console"),
                   _set(aud=["console", "another"], azp="console"), _set(groups="marketing")):  # fmt: skip
        provider.change = change
        assert sign_in(console.client("http://localhost")).status_code == 303


def test_a_key_that_the_provider_made_meanwhile(console: Mounted, provider: Provider) -> None:
    assert sign_in(console.client("http://localhost")).status_code == 303
    provider.rotate()
    assert sign_in(console.client("http://localhost")).status_code == 303
    assert provider.asked.count("/keys") == 2
    assert sign_in(console.client("http://localhost")).status_code == 303
    assert provider.asked.count("/keys") == 2
    before = RSAKey.generate_key(2048, {"kid": "first"})
    provider.sign = lambda claims: jwt.encode({"alg": "RS256", "kid": "first"}, claims, before, ["RS256"])
    refused(sign_in(console.client("http://localhost")), 403, "signature")


def test_a_provider_that_is_away(make: Callable[..., Mounted], provider: Provider) -> None:
    console = make()
    browser = console.client("http://localhost")
    back = back_from(begun(browser))
    provider.close()
    refused(browser.get(back), 503, "does not answer")
    with_key = console.client("http://localhost")
    secret = Keys(console.log).create("mine", "viewer")
    assert with_key.post("/console/sign-in", data={"key": secret}).status_code == 303, "keys work meanwhile"
    other = make().client("http://localhost")
    refused(other.get("/console/sign-in/oidc"), 503, "does not answer")
    refused(other.get("/console/sign-in/oidc"), 503, "does not answer")


def test_a_provider_that_was_away_is_asked_again_after_a_pause(
    console: Mounted, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = "/.well-known/openid-configuration"
    provider.answers[configuration] = (502, "")
    browser = console.client("http://localhost")
    for _ in range(3):
        refused(browser.get("/console/sign-in/oidc"), 503, "does not answer")
    assert provider.asked == [configuration]
    provider.answers.clear()
    monkeypatch.setattr(oidc_provider, "PAUSE", 0.0)
    later = time.monotonic() + 6
    monkeypatch.setattr(oidc_provider.time, "monotonic", lambda: later)
    assert sign_in(browser).status_code == 303


def test_a_slow_provider(console: Mounted, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc_answers, "STEP", 0.2)
    provider.slow = 1.0
    began = time.monotonic()
    refused(console.client("http://localhost").get("/console/sign-in/oidc"), 503, "does not answer")
    assert time.monotonic() - began < 0.9


@pytest.mark.parametrize(
    ("path", "status", "body", "words"),
    [
        ("/.well-known/openid-configuration", 404, "", "its configuration"),
        ("/.well-known/openid-configuration", 302, "", "its configuration"),
        ("/.well-known/openid-configuration", 200, "<html>", "its configuration"),
        ("/.well-known/openid-configuration", 200, "[]", "its configuration"),
        ("/.well-known/openid-configuration", 200, "{}", "of another issuer"),
        ("/.well-known/openid-configuration", 200, '{"issuer": "https://evil.example"}', "of another issuer"),
        ("/.well-known/openid-configuration", 200, f'"{"x" * 1_000_001}"', "its configuration"),
        ("/keys", 200, "{}", "its keys"),
        ("/keys", 200, '{"keys": "none"}', "its keys"),
        ("/keys", 200, '{"keys": []}', "its signature"),
        ("/keys", 200, '{"keys": [{"kty": "RSA"}, 5]}', "its signature"),
        ("/keys", 500, "", "does not answer"),
        ("/token", 200, "<html>", "its answer to the code"),
        ("/token", 200, "{}", "its answer to the code"),
        ("/token", 200, '{"id_token": {"sub": "ann@example.com"}}', "its answer to the code"),
        ("/token", 400, "<html>", "did not take the code"),
        ("/token", 400, '{"error": "<script>eyJ"}', "did not take the code"),
        ("/token", 503, "", "does not answer"),
    ],
)
def test_a_provider_that_answers_nonsense(
    console: Mounted, provider: Provider, path: str, status: int, body: str, words: str
) -> None:
    provider.answers[path] = (status, body)
    browser = console.client("http://localhost")
    page = browser.get("/console/sign-in/oidc")
    if page.status_code == 303:
        page = browser.get(back_from(page.headers["location"]))
    refused(page, 403 if "signature" in words or "take" in words else 503, words)
    assert console.signed_in() == []


def test_addresses_of_a_provider_under_https_are_under_https(make: Callable[..., Mounted]) -> None:
    settings = make().settings.model_copy(update={"oidc_issuer": "https://id.example.com"})
    known = {"issuer": "https://id.example.com", "authorization_endpoint": "https://id.example.com/a",
             "token_endpoint": "https://id.example.com/t", "jwks_uri": "https://id.example.com/k"}  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(oidc_provider, "ask", lambda *_: known)
        assert oidc_provider.Provider(settings).configuration().token == "https://id.example.com/t"
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            for wrong in ("http://id.example.com/x", "javascript:alert(1)", None):
                patched.setattr(oidc_provider, "ask", lambda *_, n=name, w=wrong: known | {n: w})
                with pytest.raises(oidc_answers.TroubleError, match="nonsense"):
                    oidc_provider.Provider(settings).configuration()


@pytest.mark.parametrize(("error", "shown"), [("access_denied", "access_denied"), ("<b>eyJ", "(error)")])
def test_a_provider_that_refuses_somebody(console: Mounted, provider: Provider, error: str, shown: str) -> None:
    provider.deny = error
    browser = console.client("http://localhost")
    back = back_from(begun(browser))
    refused(browser.get(back), 403, shown)
    provider.deny = ""
    refused(browser.get(back), 403, "was used already")
    assert sign_in(browser).status_code == 303


def test_an_answer_of_another_provider(make: Callable[..., Mounted], provider: Provider) -> None:
    provider.more["authorization_response_iss_parameter_supported"] = True
    browser = make().client("http://localhost")
    assert sign_in(browser).status_code == 303
    refused(browser.get(f"{back_from(begun(browser))}&iss=https://evil.example"), 403, "claim iss")
    back = re.sub(r"&iss=[^&]*", "", back_from(begun(browser)))
    assert "iss=" not in back
    refused(browser.get(back), 403, "claim iss")


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
