"""The page of the API, and the OpenAPI document it shows: ours in words, and without anything from elsewhere."""

from collections.abc import Callable
from typing import Any, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from serving.process.opening import Opening, StartingError
from serving.process.problems import USUAL, Problem

#: nothing is loaded from elsewhere, whatever the page's scripts would like to
_POLICY = (
    "default-src 'self'; img-src 'self' data:; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><meta name="viewport" content="width=device-width"><title>propensity: the API</title>
<link rel="stylesheet" href="./static_content/swagger-ui.css"></head>
<body><div id="page"></div>
<script src="./static_content/swagger-ui-bundle.js" charset="UTF-8"></script>
<script>SwaggerUIBundle({url: "./docs.json", dom_id: "#page", validatorUrl: null, deepLinking: true})</script>
</body></html>
"""

_ABOUT = """State, RFM group, likelihoods, tiers and segments of users, and their events, live.

Show a key as `Authorization: Bearer KEY` (`propensity keys create NAME --role read`; roles: `write` sends events,
`read` asks, `admin` also erases). Every answer with a status of 400 and more is `{"error", "code", "fix"}`. A 503 says
with `Retry-After` when to ask again. Instants are ISO 8601; a date is midnight UTC.
"""

_SCORE = {"user_ids": ["u0000001", "u0000002"], "reasons": 3}
_EVENT = {"userId": "u0000001", "event": "add_to_cart", "messageId": "m-1", "timestamp": "2026-03-01T10:00:00Z"}


def add_page(app: Starlette, generated: Callable[[], dict[str, Any]]) -> None:
    """Serve the page at ``/`` and its document at ``/docs.json``.

    Args:
        app: where to.
        generated: BentoML's OpenAPI document of the service.
    """

    async def page(_: Request) -> Response:
        return HTMLResponse(_PAGE, headers={"content-security-policy": _POLICY})

    async def document(request: Request) -> Response:
        return JSONResponse(described(generated(), _served(request)))

    app.router.routes.append(Route("/", page))
    app.router.routes.append(Route("/docs.json", document))


def _served(request: Request) -> str:
    try:
        return str(cast("Opening[Any]", request.app.state.desk).get().definition.version)
    except StartingError:
        return "starting"


def described(document: dict[str, Any], version: str) -> dict[str, Any]:
    """Say in a generated document what is served, with bodies to try, and errors in the shape they have."""
    document["info"] = {"title": "propensity", "version": version, "description": _ABOUT}
    document.pop("tags", None)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in [name for name in schemas if name in _OF_BENTOML]:
        del schemas[name]
    schemas["Problem"] = Problem.model_json_schema()
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    document["paths"] = {path: item for path, item in document["paths"].items() if path not in _PROBES}
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            if method not in ("get", "post", "delete"):
                continue
            call["tags"] = ["events"] if path.startswith("/v1/") else ["users"] if "user" in path else ["service"]
            errors = {str(status): _error(status) for status in USUAL}
            call["responses"] = {k: v for k, v in call["responses"].items() if str(k).startswith("2")} | errors
    score = document["paths"]["/score"]["post"]
    score |= {"tags": ["users"], "summary": "Score users"}
    score["requestBody"]["content"]["application/json"]["example"] = _SCORE
    events = document["paths"]["/v1/{call}"]["post"]
    events["requestBody"]["content"]["application/json"]["example"] = _EVENT
    return document


def _error(status: int) -> dict[str, Any]:
    shown = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": USUAL[status][0].replace("_", " "), "content": {"application/json": shown}}


_PROBES = ("/healthz", "/livez", "/readyz", "/metrics")
_OF_BENTOML = ("TaskStatusResponse", "InvalidArgument", "NotFound", "InternalServerError", "HTTPValidationError",
               "ValidationError")  # fmt: skip
