"""The provider of OpenID Connect: its configuration, its keys, and what it gives for a code."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import httpx

from features.settings import Settings
from serving.console.signing_in.answers import TroubleError, ask, nonsense

#: seconds: for how long configuration and keys are used, and until a provider that is away is asked again
KEEP, PAUSE = 3_600.0, 5.0


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a provider says of itself.

    Attributes:
        issuer: its name in tokens.
        authorize, token, keys: its addresses.
        basic: whether it takes the client's secret as basic authentication, or else in the form.
        names_itself: whether it says who it is when it sends people back.
    """

    issuer: str
    authorize: str
    token: str
    keys: str
    basic: bool
    names_itself: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a provider gives for a code.

    Attributes:
        id_token: says who somebody is.
        access_token: is not used, but the id token may hold its digest; empty without one.
    """

    id_token: str
    access_token: str


class Provider:
    """The provider that the settings name; nothing is asked of it before somebody signs in.

    Args:
        settings: of the deployment.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._configuration: tuple[Configuration, float] | None = None
        self._keys: tuple[Sequence[Mapping[str, Any]], float] | None = None
        self._pause_until = 0.0

    def configuration(self) -> Configuration:
        """What the provider says of itself, of the last hour.

        Raises:
            TroubleError: it is away, or says nothing that can be used.
        """
        with self._lock:
            now = time.monotonic()
            if self._configuration is None or now - self._configuration[1] > KEEP:
                if now < self._pause_until:
                    raise TroubleError("oidc.away", 503)
                try:
                    self._configuration = self._discovered(), now
                except TroubleError:
                    self._pause_until = time.monotonic() + PAUSE
                    raise
            return self._configuration[0]

    def keys(self, *, newest: bool = False) -> Sequence[Mapping[str, Any]]:
        """The provider's public keys for RS256 and ES256, of the last hour.

        Args:
            newest: ask for them now: a token is signed with one that is not known. It needs no limit, as a token comes
                from the provider itself, one for each code.

        Raises:
            TroubleError: it is away, or says nothing that can be used.
        """
        address = self.configuration().keys
        with self._lock:
            now = time.monotonic()
            if self._keys is None or newest or now - self._keys[1] > KEEP:
                found = ask("GET", address, "oidc.what.keys").get("keys")
                if not isinstance(found, list):
                    nonsense("oidc.what.keys")
                self._keys = [key for key in found if _signs(key)], now
            return self._keys[0]

    def exchange(self, code: str, verifier: str, redirect: str) -> Tokens:
        """Give a code, and take what the provider gives for it.

        Args:
            code: what somebody came back with.
            verifier: shows that it is for us.
            redirect: where they came back to.

        Raises:
            TroubleError: the provider is away, does not take the code, or answers nothing that can be used.
        """
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
        client, secret, auth = self._settings.oidc_client_id, self._settings.oidc_client_secret, None
        configuration = self.configuration()
        if secret is not None and configuration.basic:  # both are encoded first: RFC 6749, 2.3.1
            auth = httpx.BasicAuth(quote_plus(client), quote_plus(secret.get_secret_value()))
        else:
            form |= {"client_id": client}
            form |= {"client_secret": secret.get_secret_value()} if secret is not None else {}
        found = ask("POST", configuration.token, "oidc.what.token", form, auth)
        token, access = found.get("id_token"), found.get("access_token")
        if not isinstance(token, str):
            nonsense("oidc.what.token")
        return Tokens(token, access if isinstance(access, str) else "")

    def _discovered(self) -> Configuration:
        issuer = self._settings.oidc_issuer.rstrip("/")
        found = ask("GET", f"{issuer}/.well-known/openid-configuration", "oidc.what.discovery")
        named = found.get("issuer")
        if not isinstance(named, str) or named.rstrip("/") != issuer:
            nonsense("oidc.what.issuer")
        given = {name: found.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        allowed = ("https://",) if issuer.startswith("https:") else ("https://", "http://")
        if not all(isinstance(one, str) and one.startswith(allowed) for one in given.values()):
            nonsense("oidc.what.discovery")
        ways = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        basic = isinstance(ways, list) and "client_secret_basic" in ways
        names = found.get("authorization_response_iss_parameter_supported") is True
        authorize, token, keys = map(str, given.values())
        return Configuration(named, authorize, token, keys, basic, names)


def _signs(key: object) -> bool:
    """Whether a key may sign by RS256 or ES256."""
    if not isinstance(key, dict) or key.get("use", "sig") != "sig":
        return False
    if key.get("kty") == "RSA":
        return bool(key.get("alg", "RS256") == "RS256")
    return bool(key.get("kty") == "EC" and key.get("crv") == "P-256")
