"""The paths of the page of the API: the page, its files, and the OpenAPI document."""

import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from serving.api.documentation.document import described
from serving.api.documentation.examples import ADDRESS
from serving.api.documentation.page import rendered
from serving.process.opening import Opening, StartingError

#: nothing is loaded from elsewhere, nothing in the page runs, and no other page shows it in a frame
HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


class Pages:
    """The page and its document, made once for each definition that is served.

    Args:
        generated: BentoML's OpenAPI document of the service.
    """

    def __init__(self, generated: Callable[[], dict[str, Any]]) -> None:
        self._generated = generated
        self._made: tuple[str, str, str] | None = None

    def page(self, version: str, address: str) -> str:
        """The page, with samples for an address."""
        return self._make(version)[1].replace(ADDRESS, escape(address))

    def document(self, version: str, address: str) -> str:
        """The document as JSON, with samples for an address."""
        return self._make(version)[2].replace(ADDRESS, json.dumps(address)[1:-1])

    def _make(self, version: str) -> tuple[str, str, str]:
        made = self._made
        if made is None or made[0] != version:
            document = described(self._generated(), version)
            made = self._made = (version, rendered(document), json.dumps(document))
        return made


def add_page(app: Starlette, generated: Callable[[], dict[str, Any]]) -> None:
    """Serve the page at ``/``, its files below ``/page/`` and its document at ``/docs.json``.

    Args:
        app: where to.
        generated: BentoML's OpenAPI document of the service.
    """
    pages = Pages(generated)

    async def page(request: Request) -> Response:
        return HTMLResponse(pages.page(_served(request), _address(request)), headers=HEADERS)

    async def document(request: Request) -> Response:
        text = pages.document(_served(request), _address(request))
        return Response(text, media_type="application/json", headers=HEADERS)

    app.router.routes.append(Route("/", page))
    app.router.routes.append(Route("/docs.json", document))
    app.router.routes.append(Mount("/page", StaticFiles(directory=Path(__file__).with_name("static"))))


def _address(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _served(request: Request) -> str:
    try:
        return str(cast("Opening[Any]", request.app.state.desk).get().definition.version)
    except StartingError:
        return "starting"
