"""The console as a web application: each page checked, made and sent in one way."""

import hmac
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

from anyio import to_thread
from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from features.settings import Settings
from serving.console.catalogue import catalogue, wanted
from serving.console.office import Office, Visit
from serving.console.pages import STATIC, page
from serving.console.refusals import ConsoleError, shown_problem
from serving.console.screen import Screen
from serving.console.screens import SCREENS
from serving.console.signing_in import oidc, sign_in
from serving.desk.desk import Desk
from serving.process.problems import status_of

log = logging.getLogger("propensity")

#: nothing is loaded from elsewhere, nothing is evaluated, and no other site shows or fills in our pages
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

#: the names of this machine; without keys the console answers to no other
LOCAL = ("localhost", "127.0.0.1", "[::1]")


class Console:
    """The console.

    Args:
        desk: gives what is answered from; raises until it is open.
        settings: reads those of the deployment, with the first page.
    """

    def __init__(self, desk: Callable[[], Desk], settings: Callable[[], Settings]) -> None:
        self._desk, self._settings = desk, cache(settings)
        self._lock = threading.Lock()
        self._office: Office | None = None
        screens = [
            Route(screen.path, partial(self._serve, screen), methods=[screen.method])
            for screen in (*sign_in.SCREENS, *oidc.SCREENS, *SCREENS)
        ]
        failed = {HTTPException: self._failed, Exception: self._failed}
        static = Mount("/static", _Kept(directory=STATIC), name="static")
        self.app = Starlette(routes=[*screens, static], exception_handlers=failed)

    def office(self) -> Office:
        """What pages are made from.

        Raises:
            StartingError: the desk is not open yet.
        """
        desk = self._desk()
        with self._lock:
            if self._office is None or self._office.desk is not desk:
                before = self._office.overviews.shown if self._office is not None else None
                self._office = Office(desk, self._settings(), before)
            return self._office

    def warm_up(self) -> None:
        """Count the newest batch, which takes seconds of a million users, before somebody waits for it.

        Raises:
            StartingError: the desk is not open yet.
        """
        if self._settings().console == "on":
            self.office().overviews.newest()

    async def _serve(self, screen: Screen, request: Request) -> Response:
        form = await request.form(max_files=0) if request.method == "POST" else FormData()
        try:
            answer = await to_thread.run_sync(self._answer, screen, request, form)
        except Exception as error:  # whatever it is, it is shown on a page
            answer = _error_page(request, error)
        return _with_headers(answer)

    def _answer(self, screen: Screen, request: Request, form: FormData) -> Response:
        if self._settings().console == "off":
            raise ConsoleError("refused.off", 404)
        office = self.office()
        if office.settings.auth == "off" and _host(request) not in LOCAL:
            raise ConsoleError("refused.elsewhere", 403)
        now = office.desk.live.clock.now()
        words = catalogue(wanted(request.headers.get("accept-language", "")))
        unknown = Visit(request, office, None, words, now, form)
        session, cookie = sign_in.current(unknown)
        visit = replace(unknown, session=session)
        if session is None and screen.may is not None:
            return RedirectResponse(sign_in.address(request), 303)
        if screen.may is not None:
            visit.needs(screen.may)
        if request.method == "POST" and not _ours(visit, screen):
            raise ConsoleError("refused.form", 403)
        answer = screen.answer(visit)
        if cookie is not None:
            sign_in.give(answer, visit, cookie)
        return answer

    async def _failed(self, request: Request, error: Exception) -> Response:
        return _with_headers(_error_page(request, error))


def _ours(visit: Visit, screen: Screen) -> bool:
    """Whether a form was filled in on a page of ours; signing in alone needs no session."""
    if visit.request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    if screen.may is None or visit.session is None:
        return screen.may is None
    given = visit.field("csrf") or visit.request.headers.get("x-csrf", "")
    return hmac.compare_digest(given.encode(), visit.session.csrf.encode())


def _host(request: Request) -> str:
    host = request.headers.get("host", "")
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _error_page(request: Request, error: Exception) -> Response:
    """Any error as a page: what is wrong, and what to do."""
    words = catalogue(wanted(request.headers.get("accept-language", "")))
    if isinstance(error, HTTPException):
        known = error.status_code if error.status_code in (404, 405) else 400
        error = ConsoleError(f"refused.{known}", known, fix="refused.fix.address")
    intro, found, language = shown_problem(error, words)
    return page("error.html", words, status_of(error), intro=intro, problem=found, language=language)


def _with_headers(answer: Response) -> Response:
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


class _Kept(StaticFiles):
    """Files that never change under one address: it holds their digest."""

    def file_response(self, *given: Any, **more: Any) -> Response:
        answer = super().file_response(*given, **more)
        answer.headers["cache-control"] = "public, max-age=31536000, immutable"
        return _with_headers(answer)


def mount(app: Starlette, desk: Callable[[], Desk], settings: Callable[[], Settings]) -> Console:
    """Serve the console under ``/console``.

    Args:
        app: where.
        desk: gives what is answered from; raises until it is open.
        settings: reads those of the deployment, with the first page.
    """

    async def home(_: Request) -> Response:
        return RedirectResponse(sign_in.HOME)  # an address without a host: proxies have names of their own

    console = Console(desk, settings)
    app.router.routes.append(Route("/console", home))
    app.router.routes.append(Mount("/console", console.app))
    return console
