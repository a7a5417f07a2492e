"""What a request must get past before anybody reads it: its key, its rate, its size."""

import base64
import binascii
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from features.definition import load_definition
from features.errors import PropensityError
from features.settings import Settings
from serving.live.keys import MAY, Key, KeyRing, Keys, Role, hash_of_secret
from serving.live.log import LiveLog
from serving.live.tracking import BATCH_BYTES
from serving.metrics import ERRORS

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: health and the pages that describe the API are open; they say nothing about users
READY = "/ready"
OPEN_PATHS = ("/livez", "/healthz", READY, "/", "/docs.json", "/schema.json")
OPEN_PREFIXES = ("/static_content/", "/assets/")

#: bytes of a body: ten thousand ids of 256 characters, and what the tracking API allows
SCORE_BYTES = 4_000_000

#: what bodies may say they are; SDKs in browsers send JSON as text, so as to ask nobody beforehand
KINDS: dict[Role, tuple[bytes, ...]] = {
    "write": (b"application/json", b"text/plain", b""),
    "read": (b"application/json",),
    "admin": (b"application/json",),
}

#: what a caller should wait before the same request, in seconds
RETRY_AFTER = 1

#: why a call cannot be answered now; BentoML would tell callers of "an unexpected error"
WHY: ContextVar[list[str]] = ContextVar("why")

log = logging.getLogger("propensity")


def required_keys(settings: Settings) -> KeyRing | None:
    """The keys callers must show one of, or None when authentication is off, which is logged.

    Raises:
        PropensityError: authentication is on and there is no key at all.
    """
    if settings.auth == "off":
        log.warning("PROPENSITY_AUTH=off: anyone who reaches this port can read scores; for local use only")
        return None
    more = []
    if settings.token is not None and (secret := settings.token.get_secret_value()):
        more.append(Key("PROPENSITY_TOKEN", "read", hash_of_secret(secret), 0, None))
    ring = KeyRing(Keys(LiveLog.open(load_definition(settings.definition), settings)), more)
    if not len(ring):
        raise PropensityError(
            "there is no key or token.",
            fix="propensity keys create NAME --role read, set PROPENSITY_TOKEN, or PROPENSITY_AUTH=off for local use",
        )
    return ring


class Guard:
    """ASGI middleware: who asks, how often, and how much is sent, before the body is read.

    Keys are given as ``Authorization: Bearer KEY``, or as the user name of basic authentication, as the tracking API
    has it.

    Args:
        app: what it guards.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        settings = Settings()
        self._ring = required_keys(settings)
        self._limit = RateLimitItemPerMinute(settings.rate) if settings.rate else None
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or say why not."""
        if scope["type"] == "http" and scope["path"] == "/readyz":
            # BentoML's own says yes or no; ours says what is missing
            scope = {**scope, "path": READY, "raw_path": READY.encode()}
        if scope["type"] != "http" or _open(scope["path"]):
            return await self._app(scope, receive, send)
        headers = dict(scope["headers"])
        needed = _needed(scope["method"], scope["path"])
        key = self._key(headers.get(b"authorization", b"")) if self._ring is not None else None
        if self._ring is not None and key is None:
            scheme = b"Basic" if needed == "write" else b"Bearer"
            return await _say(send, 401, "unauthorized", "missing or wrong key", [(b"www-authenticate", scheme)])
        if key is not None and needed not in MAY[key.role]:
            return await _say(send, 403, "forbidden", f"a {key.role} key may not do this; a {needed} key may")
        name = key.name if key is not None else "anybody"
        if self._limit is not None and not self._limiter.hit(self._limit, name):
            wait = max(1, round(self._limiter.get_window_stats(self._limit, name).reset_time - time.time()))
            told = f"more than {self._limit.amount:,} requests a minute"
            return await _say(send, 429, "rate_limited", told, [(b"retry-after", str(wait).encode())])
        kind = headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
        if scope["method"] == "POST" and kind not in KINDS[needed]:
            told = f"Content-Type {kind.decode('latin-1')[:60]!r}; application/json is taken"
            return await _say(send, 415, "unsupported_media_type", told)
        most = BATCH_BYTES if needed == "write" else SCORE_BYTES
        body = await _body(receive, headers, most)
        if body is None:
            return await _say(send, 413, "too_large", f"a body of more than {most:,} bytes")
        why: list[str] = []
        WHY.set(why)
        return await self._app(scope, _again(body, receive), _answering(send, why))

    def _key(self, header: bytes) -> Key | None:
        scheme, _, given = header.decode("latin-1").partition(" ")
        secret = given.strip()
        if scheme.lower() == "basic":
            try:
                secret = base64.b64decode(secret, validate=True).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                return None
        elif scheme.lower() != "bearer":
            return None
        return self._ring.find(secret) if self._ring is not None else None


def _needed(method: str, path: str) -> Role:
    """What a key must allow for a call."""
    if path.startswith("/v1/"):
        return "write"
    return "admin" if method == "DELETE" else "read"


def _open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)


async def _body(receive: Receive, headers: dict[bytes, bytes], most: int) -> bytes | None:
    """Read a body, or None as soon as it is too large; nothing of it is understood yet."""
    said = headers.get(b"content-length", b"")
    if said.isdigit() and int(said) > most:
        return None
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)  # the caller has gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Hand a body that was read to whoever reads it now."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message


def _answering(send: Send, why: list[str]) -> Send:
    """Say with every 503 why, and when to ask again; and count what was not answered."""
    said = False

    async def told(message: Message) -> None:
        nonlocal said
        if message["type"] == "http.response.start" and message["status"] >= 400:
            retry = [(b"retry-after", str(RETRY_AFTER).encode())] if message["status"] == 503 else []
            if why:
                said = True
                return await _say(send, message["status"], "unavailable", why[0], retry)
            ERRORS.labels(str(message["status"])).inc()
            message["headers"] = [*message.get("headers", []), *retry]
        return None if said else await send(message)

    return told


async def _say(
    send: Send, status: int, code: str, error: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    ERRORS.labels(str(status)).inc()
    body = json.dumps({"error": error, "code": code}).encode()
    given = [(b"content-type", b"application/json"), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": given})
    await send({"type": "http.response.body", "body": body})
