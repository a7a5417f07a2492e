"""The schemas of an OpenAPI document: named as in the code, each property described, its kind in words."""

import json
import re
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from typing import Any

Schema = dict[str, Any]

_REF = "#/components/schemas/"
_SECTION = re.compile(r"\n\s*(?:Args|Attributes|Raises|Returns):\n")
_KINDS = {
    "integer": "whole number",
    "string": "text",
    "number": "number",
    "boolean": "`true` or `false`",
    "object": "object",
}


def renamed(document: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A copy of a document in which schemas have other names, wherever they are referred to."""
    text = json.dumps(document)
    for old, new in names.items():
        text = text.replace(f'"{_REF}{old}"', f'"{_REF}{new}"')
    copy: dict[str, Any] = json.loads(text)
    schemas = copy.setdefault("components", {}).setdefault("schemas", {})
    for old, new in names.items():
        if old in schemas:
            schemas[new] = schemas.pop(old)
    return copy


def described(schema: Schema, words: Mapping[str, str]) -> Schema:
    """A schema with words at the properties that have none of their own, and its docstring without sections."""
    properties = {
        name: one if one.get("description") or name not in words else one | {"description": plain(words[name])}
        for name, one in schema.get("properties", {}).items()
    }
    summary = plain(schema.get("description", ""))
    return schema | {"description": summary} | ({"properties": properties} if properties else {})


def plain(text: str) -> str:
    """A docstring's paragraphs as Markdown: a line each, code in single backticks."""
    text = _SECTION.split(cleandoc(text))[0]
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")).replace("``", "`").strip()


def name_of(schema: Schema) -> str:
    """The name of the schema that a schema refers to; empty where it does not."""
    return str(schema["$ref"]).removeprefix(_REF) if "$ref" in schema else ""


def reference(name: str) -> Schema:
    """A schema that refers to one by its name."""
    return {"$ref": f"{_REF}{name}"}


def resolved(schema: Schema, document: dict[str, Any]) -> Schema:
    """The schema that a schema refers to, or itself."""
    name = name_of(schema)
    found: Schema = document["components"]["schemas"][name] if name else schema
    return found


def kind(schema: Schema) -> str:
    """What a value is, in words; names and fixed values in backticks."""
    for choice in ("anyOf", "oneOf", "allOf"):
        kinds = [kind(part) for part in schema.get(choice, []) if part.get("type") != "null"]
        if kinds:
            return kinds[0] if len({*kinds} - {"number"}) == 1 else " or ".join(dict.fromkeys(kinds))
    if name := name_of(schema):
        return f"`{name}`"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        most = schema.get("maxItems")
        return f"list of {_plural(kind(_unlimited(schema.get('items', {}))))}" + (f", at most {most:,}" if most else "")
    inner = schema.get("additionalProperties")
    if schema.get("type") == "object" and isinstance(inner, dict) and inner:
        return f"map of names to {_plural(kind(_unlimited(inner)))}"
    return _bounded(schema)


def _bounded(schema: Schema) -> str:
    formats = {"date-time": "instant", "date": "day"}
    word = formats.get(schema.get("format", "")) or _KINDS.get(schema.get("type", ""), "any value")
    low, high = schema.get("minimum"), schema.get("maximum")
    high = None if high and high > 2**53 else high  # no limit that anybody meets
    limits = [f"≥ {low:,}"] if low is not None else []
    limits += [f"≤ {high:,}"] if high is not None else []
    limits += [f"at most {schema['maxLength']:,} characters"] if "maxLength" in schema else []
    return ", ".join([word, *limits])


def _unlimited(schema: Schema) -> Schema:
    """A schema of the same kind, without limits."""
    found = {key: value for key, value in schema.items() if key not in ("minimum", "maximum", "maxLength", "maxItems")}
    return found | ({"anyOf": [_unlimited(part) for part in schema["anyOf"]]} if "anyOf" in schema else {})


def _plural(word: str) -> str:
    return f"{word}s" if word in ("text", "number", "whole number", "day", "instant", "object") else word


def names_in(schema: object) -> Iterator[str]:
    """The names of all schemas that a part of a document refers to."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield name_of(schema)
        for part in schema.values():
            yield from names_in(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from names_in(part)
