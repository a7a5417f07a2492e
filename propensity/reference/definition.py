"""Every key of the definition file."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome, ValueOutcome
from features.definition.wording import ENGLISH
from propensity.reference.fields import Field, fields
from propensity.reference.markdown import plain, table

HEAD = """# The definition file

Every key of `propensity.yaml`. What is allowed and when to use it is in [how to write a definition](../how-to/definition.md); the
demo's own file lies in the root of the repository. An unknown key or a value of a wrong type is an error that names the key.

* **span**: a length of time: days (`14` or `14d`), hours (`2h`) or minutes (`30m`).
* **name**: small letters, digits and `_`, beginning with a letter; the definition's own name has `-` instead of `_`.
* **SQL**: an expression; see [states, segments and packs](../how-to/definition.md#states-segments-and-packs).
* **instant**: ISO 8601, with a zone: `2026-03-01T00:00:00Z`.
* `<name>` stands for a name that you choose, `[]` for each entry of a list.
"""

WORDING = """Keys are the templates of reasons below, and `name.<signal, trait or derived column>` for names in words. A template may use
`{signal}`, `{window}`, `{of}` (a property or further value), `{n}` (the value), `{days}` (the value as a time), `{percent}` (the value as a share) and `{usual}` (the user's own usual
gap), as far as its family has them. `.none` is for a value of 0, `.missing` for no value."""

#: of values that are one of several kinds, each with a section of its own, what tells the kind
_KINDS: dict[type[BaseModel], str] = {Outcome: ": yes or no", ValueOutcome: ": amounts"}


def page() -> str:
    """The page."""
    parts = [HEAD, "## The whole file", _table(_rows("", Definition, deep=False))]
    for field in fields(Definition):
        for models in _sections(field):
            parts += [f"## `{field.name}`{_KINDS.get(models[0], '')}"]
            parts += [plain(model.__doc__ or "") for model in dict.fromkeys(models)]
            parts.append(_table(_below(field.name, Definition.model_fields[field.name].annotation, models)))
    templates = table(["template", "English"], [(f"`{name}`", f"`{text}`") for name, text in ENGLISH.items()])
    parts += ["## `wording`", WORDING, templates]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def keys() -> set[str]:
    """All keys, as the page writes them."""
    return {row[0].strip("`") for row in _rows("", Definition, deep=True)}


def _sections(field: Field) -> list[tuple[type[BaseModel], ...]]:
    """The models of a field, by the section they are described in."""
    if not field.models:
        return []
    return [(model,) for model in field.models if model in _KINDS] or [field.models]


def _table(rows: Iterator[tuple[str, str, str, str]]) -> str:
    return table(["key", "type", "default", "meaning"], rows)


def _rows(path: str, model: type[BaseModel], *, deep: bool, note: str = "") -> Iterator[tuple[str, str, str, str]]:
    for field in fields(model):
        key = f"{path}{field.name}"
        kind = field.kind if not field.models else _shape(model.model_fields[field.name].annotation)
        yield f"`{key}`", kind, field.default, f"{field.meaning}{note}"
        if deep and field.models:
            yield from _below(key, model.model_fields[field.name].annotation, field.models)


def _below(key: str, annotation: Any, models: Sequence[type[BaseModel]]) -> Iterator[tuple[str, str, str, str]]:
    key = f"{key}{_place(annotation)}."
    for model in dict.fromkeys(models):
        by = model.model_fields.get("by")
        note = f" (`by: {get_args(by.annotation)[0]}`)" if by is not None else ""
        yield from _rows(key, model, deep=True, note=note)


def _place(annotation: Any) -> str:
    """How the keys of the models in a value are reached from it."""
    if get_origin(annotation) is Annotated:
        return _place(get_args(annotation)[0])
    if get_origin(annotation) is dict:
        return ".<name>"
    if get_origin(annotation) is list:
        return "[]"
    return next((place for part in get_args(annotation) if (place := _place(part))), "")


def _shape(annotation: Any) -> str:
    return {"": "keys below", ".<name>": "map of names to keys below", "[]": "list of keys below"}[_place(annotation)]
