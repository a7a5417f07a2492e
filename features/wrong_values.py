"""What is wrong with a value that somebody wrote, in plain words: pydantic's findings, without its own terms."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

#: what values are called, by Python's type
_KINDS: Mapping[type, str] = MappingProxyType({
    str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object",
    type(None): "null",
})  # fmt: skip

_OBJECT = "an object: keys with values"

#: what a value must be, by the kind of finding
_NEEDED: Mapping[str, str] = MappingProxyType({
    "list_type": "a list", "dict_type": _OBJECT, "model_type": _OBJECT, "model_attributes_type": _OBJECT,
    "string_type": "text", "int_type": "a whole number", "int_parsing": "a whole number",
    "int_from_float": "a whole number", "float_type": "a number", "float_parsing": "a number",
    "finite_number": "a number that is finite", "bool_type": "true or false", "bool_parsing": "true or false",
})  # fmt: skip

#: what pydantic says, and what we say, in other findings
_PLAIN = (
    ("Value error, ", ""), ("Input should be an object", f"it must be {_OBJECT}"), ("Input should be ", "it must be "),
    ("greater than or equal to", "at least"), ("less than or equal to", "at most"), ("greater than", "above"),
    ("less than", "below"), (" after validation, not ", ", and has "), ("List should have", "it must be a list of"),
    ("Dictionary should have", "it must be an object of"), ("String should have", "it must be text of"),
)  # fmt: skip


def kind_of(value: object) -> str:
    """What a value of JSON is called: ``text``, ``a list``, ``null``; never the value itself."""
    return _KINDS.get(type(value), "something else")


def wrong(found: Mapping[str, Any]) -> str:
    """One finding of pydantic's in words, without the value, which may name users.

    Args:
        found: as pydantic lists it: ``type`` and ``msg``, of which either may be missing.
    """
    kind, message = str(found.get("type", "")), str(found.get("msg", ""))
    if kind == "missing":
        return "it is missing"
    if kind in _NEEDED:
        return f"it must be {_NEEDED[kind]}"
    for theirs, ours in _PLAIN:
        message = message.replace(theirs, ours)
    return message
