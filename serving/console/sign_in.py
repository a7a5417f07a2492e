"""Signing in with a key, and out again."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from serving.console.office import Office, Visit
from serving.console.pages import page
from serving.console.screen import Screen
from serving.database.sessions import LASTS, Session
from serving.desk.keys import Key, Keys, found_in, hash_of_secret
from serving.desk.roles import CONSOLE

COOKIE: Final = "propensity_console"

#: who asks while keys are off
ANYBODY: Final = "anybody"

#: the first page, and below it all others
HOME: Final = "/console/"


def current(office: Office, request: Request, now: int) -> tuple[Session | None, str | None]:
    """Who asks, and a new cookie where they have to be given one.

    Args:
        office: knows the sessions.
        request: what is asked.
        now: the instant.
    """
    cookie = request.cookies.get(COOKIE, "")
    session = office.sessions.find(cookie, now) if cookie else None
    if office.settings.auth == "off":
        if session is not None and session.name == ANYBODY:
            return session, None
        cookie, session = office.sessions.start(ANYBODY, ["admin"], now)
        return session, cookie
    if session is not None and session.key_hash is not None:
        known = {key.hash for key in _keys(office)}
        return (session, None) if session.key_hash in known else (None, None)
    return session if session is None or session.name != ANYBODY else None, None


def address(request: Request) -> str:
    """Where to sign in, and return from to the page that was asked for."""
    asked = request.url.path if request.method == "GET" else HOME
    return f"{HOME}sign-in?next={quote(asked)}"


def give(answer: Response, request: Request, cookie: str) -> None:
    """Send the cookie of a session."""
    secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
    seconds = LASTS // 1_000_000
    answer.set_cookie(COOKIE, cookie, max_age=seconds, path="/console", secure=secure, httponly=True, samesite="lax")


def _keys(office: Office) -> Sequence[Key]:
    token = office.settings.token
    secret = token.get_secret_value() if token is not None else ""
    more = [Key("PROPENSITY_TOKEN", "read", hash_of_secret(secret), 0, None)] if secret else []
    return [*Keys(office.desk.live.log).all(), *more]


def _form(visit: Visit) -> Response:
    return page("sign_in.html", visit.words, next=_inside(visit.field("next")), failed="")


def _enter(visit: Visit) -> Response:
    key = found_in(_keys(visit.office), visit.field("key").strip())
    onward = _inside(visit.field("next"))
    if key is None or key.role not in CONSOLE:
        why = "sign_in.wrong" if key is None else "sign_in.role"
        return page("sign_in.html", visit.words, 403, next=onward, failed=visit.words(why))
    cookie, _ = visit.office.sessions.start(key.name, [key.role], visit.now, key_hash=key.hash)
    visit.office.actions.add(visit.now, key.name, visit.origin, "sign_in", key.name)
    answer = RedirectResponse(onward, 303)
    give(answer, visit.request, cookie)
    return answer


def _leave(visit: Visit) -> Response:
    visit.office.sessions.end(visit.request.cookies.get(COOKIE, ""))
    answer = RedirectResponse(f"{HOME}sign-in", 303)
    answer.delete_cookie(COOKIE, path="/console")
    return answer


def _inside(asked: str) -> str:
    """An address of the console; whatever else is asked for is its first page."""
    inside = asked.startswith(HOME) and "//" not in asked and "\\" not in asked
    return asked if inside else HOME


SCREENS = (
    Screen("/sign-in", "GET", None, _form),
    Screen("/sign-in", "POST", None, _enter),
    Screen("/sign-out", "POST", "look", _leave),
)
