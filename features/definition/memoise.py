"""Caches what is derived from a definition in the definition itself, so that it is computed once."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

from features.definition.schema import Definition

T = TypeVar("T")


def kept(derive: Callable[[Definition], T]) -> Callable[[Definition], T]:
    """Keep what a function derives from a definition; a definition never changes, and requests ask again and again."""
    key = f"{derive.__module__}.{derive.__qualname__}"

    @wraps(derive)
    def once(definition: Definition) -> T:
        known = definition._kept  # once: pydantic takes a microsecond to find a private attribute
        if key not in known:
            known[key] = derive(definition)
        return cast(T, known[key])

    return once
