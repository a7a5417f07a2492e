"""A provider of OpenID Connect that is away, slow, or answers what cannot be used."""

import time
from collections.abc import Callable

import pytest

from serving.console.signing_in import answers
from serving.console.signing_in import provider as asking
from serving.desk.keys import Keys
from tests.serving.console.mounted import Mounted
from tests.serving.console.provider import Provider
from tests.serving.console.steps import back_from, begun, refused, sign_in


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
    monkeypatch.setattr(asking, "PAUSE", 0.0)
    later = time.monotonic() + 6
    monkeypatch.setattr(asking.time, "monotonic", lambda: later)
    assert sign_in(browser).status_code == 303


def test_a_slow_provider(console: Mounted, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "STEP", 0.2)
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
        patched.setattr(asking, "ask", lambda *_: known)
        assert asking.Provider(settings).configuration().token == "https://id.example.com/t"
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            for wrong in ("http://id.example.com/x", "javascript:alert(1)", None):
                patched.setattr(asking, "ask", lambda *_, n=name, w=wrong: known | {n: w})
                with pytest.raises(answers.TroubleError, match="nonsense"):
                    asking.Provider(settings).configuration()
