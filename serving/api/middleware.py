"""Checks of a request before a route reads it: its key, its rate, its size."""

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import parse_qsl

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import ClientDisconnect

from features.definition import load_definition
from features.errors import PropensityError
from features.settings import Settings
from serving.api.paths import OTHER, Path, Paths
from serving.api.requests import CALLER
from serving.api.responses import Answering, Headers, Message, Receive, Scope, Send
from serving.database.log.live_log import LiveLog
from serving.desk.keys import MAY, Key, KeyRing, Keys, Role, hash_of_secret
from serving.ingest.tracking import BATCH_BYTES
from serving.process.opening import Opening
from serving.process.problems import RefusedError, unknown_in_words

App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: health, and the page that describes the API with its files, are open; they say nothing about users
OPEN_PATHS = ("/livez", "/healthz", "/readyz", "/", "/docs.json", "/schema.json")
OPEN_PREFIXES = ("/page/",)

#: what is asked for by the names that probes know, and where we answer it
OURS = {"/livez": "/alive", "/healthz": "/alive", "/readyz": "/ready"}

#: headers that may be there once only
ONCE = (b"content-type", b"content-length", b"content-encoding", b"authorization")

#: bytes of a body: ten thousand ids of 256 characters, and what the tracking API allows
SCORE_BYTES = 4_000_000

#: bytes of a form of the console
FORM_BYTES = 1_000_000

#: what the metrics call all pages of the console: its addresses hold names
CONSOLE = "/console"

#: what bodies may say they are; SDKs in browsers send JSON as text, so as to ask nobody beforehand
KINDS: dict[Role, tuple[bytes, ...]] = {
    "write": (b"application/json", b"text/plain", b""),
    "read": (b"application/json",),
    "admin": (b"application/json",),
}

#: how long the start waits for the store of keys, a body may take, and an answer, in seconds; BentoML's own limit for
#: an answer, a minute, does not speak of errors as we do
PATIENCE, BODY_SECONDS, MOST_SECONDS = 5, 20, 50

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
    live = LiveLog.open(load_definition(settings.definition), settings)
    ring = KeyRing(Keys(live), more)
    if not len(ring):
        ring.close()
        live.close()
        raise PropensityError(
            "there is no key or token.",
            fix="propensity keys create NAME --role read, set PROPENSITY_TOKEN, or PROPENSITY_AUTH=off for local use",
        )
    return ring


class Guard:
    """ASGI middleware: authentication, known paths, rate limit and body size, before the body is parsed.

    Keys are given as ``Authorization: Bearer KEY``, or as the user name of basic authentication, as the tracking API
    has it.

    Args:
        app: what it guards.
        paths: the paths there are.
    """

    def __init__(self, app: App, paths: Paths) -> None:
        self._app, self._paths = app, paths
        settings = Settings()
        self._ring: Opening[KeyRing | None] = Opening(lambda: required_keys(settings), "the store of keys")
        self._ring.start(PATIENCE)
        self._limit = RateLimitItemPerMinute(settings.rate) if settings.rate else None
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or say why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known = self._paths.find(scope["path"])
        answer = Answering(send, OTHER)
        try:
            if _open(scope["path"]):
                answer.route = known[0].template if known else OTHER
                if scope["path"] in OURS:  # BentoML's own say less than ours
                    scope = {**scope, "path": OURS[scope["path"]], "raw_path": OURS[scope["path"]].encode()}
                await self._app(scope, receive, answer)
                await answer.finish()
                return
            if of_console(scope["path"]):  # which signs people in, and answers with pages
                answer.route, answer.pages = CONSOLE, True
                headers = self._counted(_single(scope["headers"]), _address(scope))
                most = FORM_BYTES
            else:
                headers = self._admitted(scope)
                if known:
                    answer.route = known[0].template
                _asked(scope, known)
                most = BATCH_BYTES if needed_role(scope["method"], scope["path"]) == "write" else SCORE_BYTES
            body = await _body(receive, headers, most)
            async with asyncio.timeout(MOST_SECONDS):
                await self._app(scope, _again(body, receive), answer)
            await answer.finish()
        except TimeoutError:
            await answer.fail(RefusedError(f"no answer within {MOST_SECONDS} seconds.", status=504))
        except _StoppedError as stopped:
            await answer.fail(stopped, stopped.headers)
        except ClientDisconnect:
            return
        except Exception as error:  # whatever it is, the caller gets the usual shape of errors
            await answer.fail(error)

    def _admitted(self, scope: Scope) -> dict[bytes, bytes]:
        """The headers of a call that may be made.

        Raises:
            PropensityError: it may not.
        """
        headers = _single(scope["headers"])
        needed, ring = needed_role(scope["method"], scope["path"]), self._ring.get()
        key = self._key(ring, headers.get(b"authorization", b"")) if ring is not None else None
        if ring is not None and key is None:
            scheme = b"Basic" if needed == "write" else b"Bearer"
            raise _StoppedError("missing or wrong key.", 401, [(b"www-authenticate", scheme)])
        if key is not None and needed not in MAY[key.role]:
            raise _StoppedError(f"a {key.role} key may not do this.", 403, fix=f"use a key of the role {needed}")
        name = key.name if key is not None else "anybody"
        scope.setdefault("state", {})[CALLER] = name
        return self._counted(headers, name)

    def _counted(self, headers: dict[bytes, bytes], name: str) -> dict[bytes, bytes]:
        """The headers of a call, which is counted by the name of who makes it.

        Raises:
            PropensityError: too many were made.
        """
        if self._limit is not None and not self._limiter.hit(self._limit, name):
            wait = max(1, round(self._limiter.get_window_stats(self._limit, name).reset_time - time.time()))
            message = f"more than {self._limit.amount:,} requests a minute."
            raise _StoppedError(message, 429, [(b"retry-after", str(wait).encode())], fix=f"wait {wait} seconds")
        return headers

    def _key(self, ring: KeyRing, header: bytes) -> Key | None:
        scheme, _, given = header.decode("latin-1").partition(" ")
        secret = given.strip()
        if scheme.lower() == "basic":
            try:
                secret = base64.b64decode(secret, validate=True).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                return None
        elif scheme.lower() != "bearer":
            return None
        return ring.find(secret)


class _StoppedError(RefusedError):
    """A call that goes no further, and what to say in the headers."""

    def __init__(self, message: str, status: int, headers: Headers | None = None, *, fix: str = "") -> None:
        super().__init__(message, fix=fix, status=status)
        self.headers = headers or []


def _single(given: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers by name; one that decides what a request is may be there once only: others might read the other."""
    for name in ONCE:
        if sum(key == name for key, _ in given) > 1:
            message = f"the header {name.decode()} is there more than once."
            raise _StoppedError(message, 400, fix="send it once")
    return dict(given)


def _asked(scope: Scope, known: Sequence[Path]) -> None:
    """Check that there is what is asked for, and that it takes what it is asked with.

    Raises:
        PropensityError: there is not, or it does not.
    """
    method, path = scope["method"], scope["path"]
    if not known:
        raise _StoppedError("there is no such path.", 404)
    taken = next((one for one in known if method in one.methods), None)
    if taken is None:
        allowed = ", ".join(sorted({name for one in known for name in one.methods}))
        raise _StoppedError(f"{method} is not allowed here.", 405, [(b"allow", allowed.encode())], fix=f"use {allowed}")
    given = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))
    if taken.query is not None and (unknown := [name for name in given if name not in taken.query]):
        raise _StoppedError(
            f"in the query: {unknown_in_words(unknown, taken.query)}.", 400, fix="correct or remove the key"
        )
    kind = dict(scope["headers"]).get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    if method == "POST" and kind not in KINDS[needed_role(method, path)]:
        raise _StoppedError(f"Content-Type {kind.decode('latin-1')[:60]!r} is not accepted.", 415)


def needed_role(method: str, path: str) -> Role:
    """What a key must allow for a call."""
    if path.startswith("/v1/"):
        return "write"
    return "admin" if method == "DELETE" else "read"


def of_console(path: str) -> bool:
    """Whether a path is one of the console."""
    return path == CONSOLE or path.startswith(f"{CONSOLE}/")


def _address(scope: Scope) -> str:
    """From where a call comes."""
    client = scope.get("client")
    return f"console {client[0]}" if client else "console"


def _open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)


async def _body(receive: Receive, headers: dict[bytes, bytes], most: int) -> bytes:
    """Read a body; nothing of it is understood yet.

    Raises:
        PropensityError: it is too large, or too slow.
        ClientDisconnect: the caller has gone.
    """
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > most:
        raise _StoppedError(f"a body of more than {most:,} bytes.", 413)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientDisconnect
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    raise _StoppedError(f"a body of more than {most:,} bytes.", 413)
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError as error:
        reason = f"the body was not there after {BODY_SECONDS} seconds."
        raise _StoppedError(reason, 408, [(b"connection", b"close")]) from error


def _again(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read to what reads it next."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message
