"""Bearer tokens for the scoring API."""

import hmac
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from features.errors import PropensityError
from features.settings import Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: health and the pages that describe the API are open; they say nothing about users
OPEN_PATHS = ("/livez", "/readyz", "/healthz", "/", "/docs.json")
OPEN_PREFIXES = ("/static_content/", "/assets/")

log = logging.getLogger("propensity")


def required_token(settings: Settings) -> str | None:
    """The token callers must send, or None when authentication is off, which is logged.

    Raises:
        PropensityError: authentication is on and no token is set.
    """
    if settings.auth == "off":
        log.warning("PROPENSITY_AUTH=off: anyone who reaches this port can read scores; for local use only")
        return None
    if settings.token is None or not settings.token.get_secret_value():
        raise PropensityError(
            "no bearer token is set.", fix="set PROPENSITY_TOKEN, or PROPENSITY_AUTH=off for local use"
        )
    return settings.token.get_secret_value()


class BearerAuth:
    """ASGI middleware that asks for ``Authorization: Bearer <token>``.

    Args:
        app: what it guards.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        token = required_token(Settings())
        self._expected = f"Bearer {token}".encode() if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or answer 401."""
        if self._expected is None or scope["type"] != "http" or self._open(scope["path"]):
            return await self._app(scope, receive, send)
        sent = next((value for key, value in scope["headers"] if key == b"authorization"), b"")
        if hmac.compare_digest(sent, self._expected):
            return await self._app(scope, receive, send)
        body = json.dumps({"error": "missing or wrong bearer token"}).encode()
        headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        return await send({"type": "http.response.body", "body": body})

    @staticmethod
    def _open(path: str) -> bool:
        return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)
