"""Tokens of OpenID Connect: each of their claims, and whose signature they have."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from tests.serving.console.mounted import Mounted
from tests.serving.console.provider import Provider
from tests.serving.console.steps import refused, sign_in


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
        (_set(iat=NOW + 864_000), "claim iat"),
        (_set(nbf=NOW + 864_000), "claim nbf"),
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
