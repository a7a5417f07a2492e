"""The page of the API, drawn from its OpenAPI document."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from serving.api.documentation.examples import pretty
from serving.api.documentation.schemas import Schema, kind, resolved

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a field of a body or an object.

    Attributes:
        name: its name.
        where: ``path``, ``query`` or ``body``.
        kind: what it is, in words.
        default: in words; ``required`` where it has to be given, empty where there is none.
        meaning: what it means.
        example: a value to try.
    """

    name: str
    where: str
    kind: str
    default: str
    meaning: str
    example: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the page shows it.

    Attributes:
        anchor: its place on the page.
        method: of HTTP.
        path: its template.
        summary: in a few words.
        description: its paragraphs.
        role: what its key must allow.
        parameters: of the path and the query.
        body: the fields of the body.
        samples: the request, by how it is made.
        sent: the example's body as JSON; empty where it has none.
        answers: what the answer is, in words.
        answer: an example of it as JSON.
        errors: status, code and fix of each.
    """

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    role: str
    parameters: Sequence[Field]
    body: Sequence[Field]
    samples: Sequence[Mapping[str, str]]
    sent: str
    answers: str
    answer: str
    errors: Sequence[tuple[str, str, str]]


def rendered(document: dict[str, Any]) -> str:
    """The page of a document, as `serving.api.documentation.document` makes it."""
    schemas: dict[str, Schema] = document["components"]["schemas"]
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"words": lambda text: _words(text, frozenset(schemas)), "anchor": anchor}
    calls = list(_calls(document))
    sections = [(tag, [call for name, call in calls if name == tag["name"]]) for tag in document["tags"]]
    objects = [(name, str(one["description"]), list(_fields(one))) for name, one in schemas.items()]
    return environment.get_template("page.html.j2").render(
        info=document["info"], sections=[(tag, some) for tag, some in sections if some], objects=objects
    )


def anchor(*words: str) -> str:
    """The place on the page of a call or an object."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")


def _calls(document: dict[str, Any]) -> Iterator[tuple[str, Call]]:
    """The calls, each with its tag."""
    for path, item in document["paths"].items():
        for method, call in item.items():
            yield call["tags"][0], _call(method, path, call, document)


def _call(method: str, path: str, call: dict[str, Any], document: dict[str, Any]) -> Call:
    content = call.get("requestBody", {}).get("content", {}).get("application/json", {})
    answer = call["responses"]["200"]["content"]["application/json"]
    return Call(
        anchor=anchor(method, path),
        method=method.upper(),
        path=path,
        summary=call["summary"],
        description=call["description"],
        role=call["x-role"],
        parameters=[_parameter(one) for one in call.get("parameters", [])],
        body=list(_fields(resolved(content["schema"], document))) if content else [],
        samples=call.get("x-codeSamples", []),
        sent=pretty(content["example"]) if "example" in content else "",
        answers=kind(answer["schema"]),
        answer=pretty(answer["example"]) if "example" in answer else "",
        errors=[_error(status, one) for status, one in call["responses"].items() if int(status) >= 400],
    )


def _error(status: str, response: dict[str, Any]) -> tuple[str, str, str]:
    example = response["content"]["application/json"]["example"]
    return str(status), example["code"], example["fix"]


def _parameter(one: dict[str, Any]) -> Field:
    schema = one["schema"] | {"description": one.get("description", "")}
    return _field(one["name"], one["in"], schema, one["required"], one.get("example"))


def _fields(schema: Schema) -> Iterator[Field]:
    """The fields of an object."""
    required = schema.get("required", [])
    for name, one in schema.get("properties", {}).items():
        yield _field(name, "body", one, name in required)


def _field(name: str, where: str, schema: Schema, required: bool, example: object = None) -> Field:
    default = schema.get("default")
    shown = "required" if required else "" if default in (None, "", [], {}) else f"`{str(default).lower()}`"
    meaning = str(schema.get("description", ""))
    return Field(name, where, kind(schema), shown, meaning, "" if example is None else str(example))


def _words(text: str, known: frozenset[str]) -> Markup:
    """A text whose code is in backticks; names of objects lead to them."""
    parts = []
    together = text.replace("≥ ", "≥\N{NO-BREAK SPACE}").replace("≤ ", "≤\N{NO-BREAK SPACE}")
    for at, part in enumerate(together.split("`")):
        if at % 2 == 0:
            parts.append(escape(part))
        elif part in known:
            parts.append(Markup('<a href="#{}"><code>{}</code></a>').format(anchor("object", part), part))
        else:
            parts.append(Markup("<code>{}</code>").format(part))
    return Markup("").join(parts)
