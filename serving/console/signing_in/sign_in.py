"""Signing in with a key, and out again; and who is signed in, by whichever way."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from serving.console.office import Office, Visit
from serving.console.pages import page
from serving.console.refusals import ConsoleError
from serving.console.screen import Screen
from serving.console.signing_in import trusted_header
from serving.database.console.sessions import LASTS, Session
from serving.desk.keys import Key, Keys, found_in, hash_of_secret
from serving.desk.roles import CONSOLE

COOKIE: Final = "propensity_console"

#: who asks while keys are off
ANYBODY: Final = "anybody"

#: the first page, and below it all others
HOME: Final = "/console/"


def current(visit: Visit) -> tuple[Session | None, str | None]:
    """Who asks, and a new cookie where they have to be given one.

    Args:
        visit: what is asked; of nobody yet.

    Raises:
        ConsoleError: a proxy has to say who asks, and does not.
    """
    office, now, cookie = visit.office, visit.now, visit.request.cookies.get(COOKIE, "")
    if office.settings.console_user_header:
        return trusted_header.session_of(visit, cookie)
    session = office.sessions.find(cookie, now) if cookie else None
    if office.settings.auth == "off":
        if session is not None and session.name == ANYBODY:
            return session, None
        cookie, session = office.sessions.start(ANYBODY, ["admin"], now)
        return session, cookie
    if session is not None and session.key_hash is not None:
        known = {key.hash for key in _keys(office)}
        return (session, None) if session.key_hash in known else (None, None)
    people = bool(office.settings.oidc_issuer)  # otherwise a session without a key is of before the settings changed
    return session if session is not None and people and session.name != ANYBODY else None, None


def address(request: Request) -> str:
    """Where to sign in, and return from to the page that was asked for."""
    asked = request.url.path if request.method == "GET" else HOME
    return f"{HOME}sign-in?next={quote(asked)}"


def secure(visit: Visit) -> bool:
    """Whether browsers reach the console by HTTPS."""
    if visit.office.settings.console_url.startswith("https:"):
        return True
    return visit.request.headers.get("x-forwarded-proto", visit.request.url.scheme) == "https"


def give(answer: Response, visit: Visit, cookie: str) -> None:
    """Send the cookie of a session."""
    seconds = LASTS // 1_000_000
    answer.set_cookie(
        COOKIE, cookie, max_age=seconds, path="/console", secure=secure(visit), httponly=True, samesite="lax"
    )


def _keys(office: Office) -> Sequence[Key]:
    token = office.settings.token
    secret = token.get_secret_value() if token is not None else ""
    more = [Key("PROPENSITY_TOKEN", "read", hash_of_secret(secret), 0, None)] if secret else []
    return [*Keys(office.desk.live.log).all(), *more]


def _form(visit: Visit) -> Response:
    if visit.office.settings.console_user_header:
        return RedirectResponse(HOME, 303)
    return _page(visit)


def _page(visit: Visit, status: int = 200, failed: str = "") -> Response:
    onward = inside(visit.field("next"))
    other = f"{HOME}sign-in/oidc?next={quote(onward)}" if visit.office.settings.oidc_issuer else ""
    return page("sign_in.html", visit.words, status, next=onward, failed=failed, other=other)


def _enter(visit: Visit) -> Response:
    if visit.office.settings.console_user_header:
        raise ConsoleError("header.no_keys", 403, fix="header.untrusted.fix")
    key = found_in(_keys(visit.office), visit.field("key").strip())
    if key is None or key.role not in CONSOLE:
        return _page(visit, 403, visit.words("sign_in.wrong" if key is None else "sign_in.role"))
    cookie, _ = visit.office.sessions.start(key.name, [key.role], visit.now, key_hash=key.hash)
    visit.office.actions.add(visit.now, key.name, visit.origin, "sign_in", key.name)
    answer = RedirectResponse(inside(visit.field("next")), 303)
    give(answer, visit, cookie)
    return answer


def _leave(visit: Visit) -> Response:
    visit.office.sessions.end(visit.request.cookies.get(COOKIE, ""))
    proxy = visit.office.settings.console_user_header
    answer = page("signed_out.html", visit.words) if proxy else RedirectResponse(f"{HOME}sign-in", 303)
    answer.delete_cookie(COOKIE, path="/console")
    return answer


def inside(asked: str) -> str:
    """An address of the console; whatever else is asked for is its first page."""
    inside = asked.startswith(HOME) and "//" not in asked and "\\" not in asked
    return asked if inside else HOME


SCREENS = (
    Screen("/sign-in", "GET", None, _form),
    Screen("/sign-in", "POST", None, _enter),
    Screen("/sign-out", "POST", "look", _leave),
)
