"""Every endpoint of the API."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from propensity.reference.fields import UndescribedError, fields
from propensity.reference.markdown import code, plain, sentence, table
from serving.api.documentation.document import described
from serving.api.documentation.meanings import models
from serving.api.documentation.schemas import kind, resolved
from serving.api.middleware import OPEN_PATHS
from serving.api.routes import answers
from serving.process.problems import Problem
from serving.scoring.online import ScoreResponse

HEAD = """# HTTP API

The service describes itself, too: the page at `/` has an example of every call and sends them if you like, and `/docs.json` is its OpenAPI document. A caller sends a key as
`Authorization: Bearer KEY`; SDKs send a write key as the user name of basic authentication. See [keys](../how-to/operate.md#keys).

Instants are ISO 8601; a date is midnight UTC. Every answer with a status of 400 and more is a [`Problem`](#problem); a 503 says with
`Retry-After` when to ask again.
"""

#: paths of probes and pages, which no document describes
PROBES = {
    "/livez": "Whether the process works, or recovers by itself: 200 or 503.",
    "/healthz": "The same as `/livez`.",
    "/readyz": "Whether everything that is needed answers: 200 or 503, with `missing` and `degraded`.",
    "/metrics": "The [metrics](metrics.md), with a read key.",
    "/": "The page of the API.",
    "/docs.json": "The OpenAPI document, with the same examples.",
    "/schema.json": "BentoML's description of the service.",
}  # fmt: skip


def page() -> str:
    """The page.

    Raises:
        UndescribedError: a parameter, a field of a body or of an answer has no description.
    """
    from serving.api.service import PropensityService

    document = described(PropensityService.openapi_spec.asdict(), "")  # type: ignore[attr-defined] # a BentoML Service
    shapes = answers()
    parts, shown = [HEAD.strip("\n")], list(models(ScoreResponse))
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            shape = shapes.get((path, method), ScoreResponse)
            model = list(models(shape))
            many = "a list of " if "list[" in str(shape) else "a map of names to " if "dict[" in str(shape) else ""
            shown += model
            parts += [f"## `{method.upper()} {path}`", *_call(path, call, document), _answer(model, many=many)]
    parts += [
        "## Probes and pages",
        table(["path", "what it answers"], [(f"`{p}`", text) for p, text in PROBES.items()]),
    ]
    parts += ["## Objects", "A field is null only where its meaning says so.", *_objects([*shown, Problem])]
    return "\n\n".join(parts) + "\n"


def probes() -> set[str]:
    """The paths without a key, and the metrics."""
    return {*OPEN_PATHS, "/metrics"}


def _call(path: str, call: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    description = plain(call.get("description") or "")
    if not description:
        raise UndescribedError(f"{path} is not described")
    yield description
    if rows := [
        _parameter(path, p["name"], p["in"], p, p["schema"], p["required"]) for p in call.get("parameters", [])
    ]:
        yield table(["parameter", "in", "type", "default", "meaning"], rows)
    body = call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body = resolved(body, document)
    if path == "/v1/{call}":
        yield "The body is what SDKs send: see [sending events](../how-to/operate.md#sending-events)."
    required = body.get("required", [])
    if rows := [_parameter(path, n, "body", p, p, n in required) for n, p in body.get("properties", {}).items()]:
        yield table(["field", "in", "type", "default", "meaning"], rows)


def _parameter(
    path: str, name: str, where: str, description: dict[str, Any], schema: dict[str, Any], required: bool
) -> tuple[str, str, str, str, str]:
    meaning = description.get("description") or schema.get("description")
    if not meaning and name != "call":  # its values are in the call's own description
        raise UndescribedError(f"{path}: {name} is not described")
    default = schema.get("default")
    shown = "required" if required else "–" if default in (None, "") else f"`{str(default).lower()}`"
    return f"`{name}`", where, kind(schema), shown, sentence(code(meaning or "the kind of messages"))


def _answer(found: list[type[BaseModel]], *, many: str) -> str:
    if not found:
        return "Answers with an object: `version`, and the `definition` without its defaults."
    name = found[0].__name__
    return f"Answers with {many}[`{name}`](#{name.lower()})."


def _objects(found: list[type[BaseModel]]) -> Iterator[str]:
    seen: dict[str, type[BaseModel]] = {}
    while found:
        model = found.pop(0)
        if model.__name__ not in seen:
            seen[model.__name__] = model
            found += [inner for field in fields(model) for inner in field.models]
    for name, model in sorted(seen.items()):
        rows = [(f"`{f.name}`", _linked(f.kind, seen), f.meaning) for f in fields(model)]
        yield f"### `{name}`"
        yield plain(model.__doc__ or "")
        yield table(["field", "type", "meaning"], rows)


def _linked(kind: str, known: dict[str, type[BaseModel]]) -> str:
    for name in known:
        kind = kind.replace(f"`{name}`", f"[`{name}`](#{name.lower()})")
    return kind
