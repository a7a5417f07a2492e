"""What the docstrings of models say of their attributes, and which models a type holds."""

import re
from collections.abc import Iterable, Iterator
from inspect import cleandoc
from typing import Any, get_args

from pydantic import BaseModel


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of a model and its bases say of each attribute."""
    found: dict[str, str] = {}
    for part in reversed(model.__mro__):
        section = re.search(r"\nAttributes:\n(.*?)(?:\n\n|\Z)", cleandoc(part.__doc__ or ""), re.DOTALL)
        if section and issubclass(part, BaseModel):
            for name, text in re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section[1], re.MULTILINE):
                found[name] = " ".join(text.split())
    return found


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a value of a type may be or hold."""
    if isinstance(annotation, type) and not get_args(annotation):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for part in get_args(annotation):
        yield from models(part)


def reached(annotations: Iterable[Any]) -> dict[str, type[BaseModel]]:
    """The models that values of some types hold, and those that their fields hold, by name."""
    found: dict[str, type[BaseModel]] = {}
    waiting = [model for annotation in annotations for model in models(annotation)]
    while waiting:
        model = waiting.pop()
        if model.__name__ not in found:
            found[model.__name__] = model
            waiting += [inner for info in model.model_fields.values() for inner in models(info.annotation)]
    return found
