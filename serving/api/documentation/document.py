"""The OpenAPI document of the service: our words, an example of every call, errors in the shape they have."""

from collections.abc import Mapping
from typing import Any

from serving.api.documentation.examples import ADDRESS, examples
from serving.api.documentation.meanings import meanings, reached
from serving.api.documentation.schemas import described as with_words
from serving.api.documentation.schemas import names_in, plain, reference, renamed
from serving.api.middleware import needed_role
from serving.api.routes import answers
from serving.process.problems import USUAL, Problem
from serving.scoring.online import ScoreResponse

ABOUT = """State, RFM group, likelihoods, tiers and segments of users, and their events, live.

Show a key as `Authorization: Bearer KEY`; SDKs send it as the user name of basic authentication. `propensity keys
create NAME --role ROLE` makes one: `read` asks, `write` sends events, `admin` also erases. In the samples, put yours in
place of `KEY`.

Instants are ISO 8601; a date is midnight UTC. Every answer with a status of 400 and more says what is wrong, its code,
and how to mend it; a 503 says with `Retry-After` when to ask again.
"""

#: what the calls are about, in the order of the page
TAGS = {
    "users": "Scores of users, and everything that is kept about one.",
    "events": "Messages as SDKs of Segment's tracking API send them.",
    "segments": "Who is in what, and who entered and left.",
    "results": "What jobs published last: KPIs and experiments.",
    "service": "What is being served.",
}

_ABOUT_WHAT = {
    "/score": "users", "/users": "users", "/v1": "events", "/segments": "segments", "/transitions": "segments",
    "/kpis": "results", "/experiments": "results",
}  # fmt: skip

#: the errors of every call; of one with parameters; of one with a body
_ALWAYS, _ASKED, _SENT = (400, 401, 403, 429, 500, 503, 504), (404, 422), (408, 413, 415, 422)

_PROBES = ("/healthz", "/livez", "/readyz", "/metrics")
_OF_BENTOML = {"AskedIODescriptor": "ScoreRequest", "ScoreResponseIODescriptor": "ScoreResponse"}


def described(generated: dict[str, Any], version: str) -> dict[str, Any]:
    """Say in a generated document what is served; it is not changed itself.

    Args:
        generated: BentoML's document of the service.
        version: of the definition being served.
    """
    document = renamed(generated, _OF_BENTOML)
    schemas = document["components"]["schemas"]
    response = ScoreResponse.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= {"Problem": Problem.model_json_schema(), "ScoreResponse": response} | response.pop("$defs")
    document["paths"] = {path: item for path, item in document["paths"].items() if path not in _PROBES}
    document["paths"]["/score"]["post"] |= {"summary": "Score users"}
    score = document["paths"]["/score"]["post"]["responses"]
    score["200"]["content"]["application/json"]["schema"] = reference("ScoreResponse")
    models = reached([*answers().values(), ScoreResponse, Problem])
    words = {name: meanings(models[name]) if name in models else {} for name in schemas}
    for path, calls in document["paths"].items():
        document["paths"][path] = {m: _call(m, path, call) for m, call in calls.items() if m in _METHODS}
    return document | {
        "info": {"title": "propensity API", "version": version, "description": plain(ABOUT)},
        "servers": [{"url": ADDRESS}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "security": [{"key": []}],
        "components": {
            "schemas": {
                name: with_words(schemas[name], words[name]) for name in sorted(_needed(document["paths"], schemas))
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


_METHODS = ("get", "post", "delete")


def _call(method: str, path: str, call: dict[str, Any]) -> dict[str, Any]:
    """A call in our words, with its example where there is one."""
    parameters, body = call.get("parameters", []), call.get("requestBody")
    errors = sorted({*_ALWAYS, *(_ASKED if parameters else ()), *(_SENT if body else ())})
    answers = {k: v | {"description": "the answer"} for k, v in call["responses"].items() if str(k).startswith("2")}
    found = call | {
        "tags": [_ABOUT_WHAT.get("/" + path.split("/")[1], "service")],
        "description": plain(call.get("description", "")),
        "responses": answers | {str(status): _error(status) for status in errors},
        "x-role": needed_role(method.upper(), path),
    }
    example = examples().get(f"{method.upper()} {path}")
    if example is None:
        return found
    for parameter in parameters:
        if parameter["name"] in example.parameters and method != "delete":  # tools would send it
            parameter["example"] = example.parameters[parameter["name"]]
    if body and example.body is not None:
        body["content"]["application/json"]["example"] = example.body
    answers["200"]["content"]["application/json"]["example"] = example.answer
    samples = {"curl": example.curl(method, path), "Python": example.python()}
    languages = {"curl": "Shell", "Python": "Python"}
    return found | {
        "x-codeSamples": [{"lang": languages[k], "label": k, "source": text} for k, text in samples.items() if text]
    }


def _error(status: int) -> dict[str, Any]:
    code, fix = USUAL[status]
    words = code.replace("_", " ")
    example = {"error": f"{words}.", "code": code, "fix": fix}
    return {
        "description": words,
        "content": {"application/json": {"schema": reference("Problem"), "example": example}},
    }


def _needed(paths: Mapping[str, Any], schemas: Mapping[str, Any]) -> set[str]:
    """The schemas that the calls use; BentoML adds others."""
    found: set[str] = set()
    waiting = set(names_in(paths))
    while waiting:
        found |= waiting
        waiting = {name for one in waiting for name in names_in(schemas[one])} - found
    return found
