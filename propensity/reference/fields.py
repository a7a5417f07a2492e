"""The fields of pydantic models: type, default and meaning, read from annotations and docstrings."""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, BeforeValidator, SecretStr, StringConstraints
from pydantic.fields import FieldInfo

from features.expressions.expression import Expression
from features.time import parse_span, span_name
from propensity.reference.markdown import code, sentence
from serving.api.documentation.meanings import meanings, models

_WORDS: dict[Any, str] = {
    str: "text", AwareDatetime: "instant", int: "whole number", float: "number", bool: "`true` or `false`", datetime: "instant", date: "day", Path: "path",
    SecretStr: "text (secret)", Expression: "SQL", type(None): "null", object: "any value",
}  # fmt: skip
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


class UndescribedError(Exception):
    """Something public has no description: write one where it is defined."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field as the reference shows it.

    Attributes:
        name: its key.
        kind: its type in words.
        default: its default in words; ``required`` without one.
        meaning: what it means, from the class's docstring or the field's own description.
        models: the models its value may be or hold.
    """

    name: str
    kind: str
    default: str
    meaning: str
    models: tuple[type[BaseModel], ...]


def fields(model: type[BaseModel]) -> Iterator[Field]:
    """The fields of a model, in order.

    Raises:
        UndescribedError: one has no description.
    """
    described = meanings(model)
    for name, info in model.model_fields.items():
        meaning = info.description or described.get(name)
        if not meaning:
            raise UndescribedError(f"{model.__module__}.{model.__name__}.{name} is not described under Attributes")
        kind = words(info.annotation, info.metadata)
        yield Field(name, kind, default(info), sentence(code(meaning)), tuple(models(info.annotation)))


def words(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """A type in words."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return words(inner, [*more, *metadata])
    if any(isinstance(m, BeforeValidator) and m.func is parse_span for m in metadata):
        return "span"
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [words(part, metadata) for part in get_args(annotation) if part is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    return f"{_simple(annotation, metadata)}{_bounds(metadata)}"


def _simple(annotation: Any, metadata: Sequence[Any]) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in parts)
    if origin is tuple and Ellipsis not in parts:
        return f"list of {len(parts)} {_plural(words(parts[0]))}"
    if origin in (list, tuple, Sequence):
        return f"list of {_plural(words(parts[0]))}"
    if origin in (dict, Mapping):
        return f"map of names to {_plural(words(parts[1]))}"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{value}`" for value in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"`{annotation.__name__}`"
    for constraint in metadata:
        if isinstance(constraint, StringConstraints):
            return "name"
    return _WORDS[annotation]


def _plural(kind: str) -> str:
    return f"{kind}s" if kind in ("text", "number", "whole number", "span", "name", "day") else kind


def _bounds(metadata: Sequence[Any]) -> str:
    every = [inner for m in metadata for inner in (m.metadata if isinstance(m, FieldInfo) else [m])]
    found = [f"{sign} {getattr(m, key):,}" for m in every for key, sign in _BOUNDS.items() if hasattr(m, key)]
    return f", {', '.join(found)}" if found else ""


def default(info: FieldInfo) -> str:
    """A default in words."""
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value in ("", [], {}, ()):
        return "–"
    if isinstance(value, BaseModel):
        by = getattr(value, "by", None)
        return f"`{{by: {by}}}`" if by else "as below"
    if "span" in words(info.annotation, info.metadata):
        return f"`[{', '.join(map(span_name, value))}]`" if isinstance(value, list) else f"`{span_name(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value)}`" if isinstance(value, tuple) else f"`{value}`"
