"""A provider of OpenID Connect that speaks the whole protocol over real HTTP, and breaks it where a test says so."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

Key = RSAKey | ECKey

#: made once: it takes a while
FIRST = RSAKey.generate_key(2048, {"kid": "first"})


@dataclass
class Provider:
    """A provider.

    Attributes:
        client, secret: whom it serves; without a secret, a public client.
        redirect: where it may send people.
        person: what it says of who signs in there.
        deny: the error with which it refuses everybody.
        change: changes what tokens say before they are signed.
        sign: signs tokens; with the newest key unless a test says how.
        answers: raw answers by path in place of its own: a status and a body.
        slow: seconds it waits before each answer.
        more: what its configuration says beside the usual.
        asked: the paths that were asked for.
    """

    client: str = "console"
    secret: str | None = "s3cret/+ of ours"
    redirect: str = "http://testserver/console/sign-in/oidc/return"
    person: dict[str, Any] = field(default_factory=lambda: {
        "sub": "u-17", "email": "ann@example.com", "email_verified": True, "groups": ["marketing", "everybody"],
    })  # fmt: skip
    deny: str = ""
    change: Callable[[dict[str, Any]], None] = lambda _: None
    sign: Callable[[dict[str, Any]], str] | None = None
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    slow: float = 0.0
    more: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    keys: list[Key] = field(init=False)
    _codes: dict[str, dict[str, str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = [FIRST]
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(provider.answer(self.path, {}, ""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._send(provider.answer(self.path, form, self.headers.get("authorization", "")))

            def _send(self, found: tuple[int, str, dict[str, str]]) -> None:
                status, body, headers = found
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(body.encode())))
                    self.end_headers()
                    self.wfile.write(body.encode())
                except OSError:
                    return  # nobody waits for it any more

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}/tenant"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def rotate(self) -> None:
        """A new key signs from now on; the one before is gone."""
        self.keys = [ECKey.generate_key("P-256", {"kid": "second"})]

    def answer(self, target: str, form: dict[str, str], authorization: str) -> tuple[int, str, dict[str, str]]:
        time.sleep(self.slow)
        parts = urlsplit(target)
        path = parts.path.removeprefix("/tenant")
        self.asked.append(path)
        if path in self.answers:
            return *self.answers[path], {}
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if path == "/authorize":
            return 302, "", {"location": self._authorized(query)}
        found = {
            "/.well-known/openid-configuration": lambda: (200, self._configuration()),
            "/keys": lambda: (200, KeySet(list(self.keys)).as_dict(private=False)),
            "/token": lambda: self._token(form, authorization),
        }.get(path, lambda: (404, {}))()
        return found[0], json.dumps(found[1]), {"content-type": "application/json"}

    def _configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize?realm=main",
            "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"], **self.more,
        }  # fmt: skip

    def _authorized(self, query: dict[str, str]) -> str:
        """Where somebody is sent who signed in here, as ``person``, with what was asked for."""
        wanted = {"client_id": self.client, "redirect_uri": self.redirect, "response_type": "code",
                  "code_challenge_method": "S256", "realm": "main"}  # fmt: skip
        assert wanted.items() <= query.items(), query
        assert "openid" in query["scope"].split()
        assert len(query["code_challenge"]) == 43
        back = {"state": query["state"]}
        if self.more.get("authorization_response_iss_parameter_supported"):
            back["iss"] = self.issuer
        if self.deny:
            return f"{self.redirect}?{urlencode(back | {'error': self.deny})}"
        code = secrets.token_urlsafe(8)
        self._codes[code] = query
        return f"{self.redirect}?{urlencode(back | {'code': code})}"

    def _token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        if not self._known(form, authorization):
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or asked["code_challenge"] != challenge or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        claims = {"iss": self.issuer, "aud": self.client, "iat": int(time.time()), "exp": int(time.time()) + 300,
                  "nonce": asked["nonce"], **self.person}  # fmt: skip
        self.change(claims)
        return 200, {"id_token": (self.sign or self.signed)(claims), "access_token": "opaque", "token_type": "Bearer"}

    def _known(self, form: dict[str, str], authorization: str) -> bool:
        """Whether the client shows who it is, in the way that the configuration names."""
        if self.secret is None:
            return form.get("client_id") == self.client and not authorization and "client_secret" not in form
        if "client_secret_post" in self.more.get("token_endpoint_auth_methods_supported", []):
            return (form.get("client_id"), form.get("client_secret")) == (self.client, self.secret)
        name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return (unquote_plus(name), unquote_plus(secret)) == (self.client, self.secret)

    def signed(self, claims: dict[str, Any]) -> str:
        """A token by the newest key."""
        key = self.keys[-1]
        kind = "RS256" if isinstance(key, RSAKey) else "ES256"
        return jwt.encode({"alg": kind, "kid": key.kid}, claims, key, [kind])
