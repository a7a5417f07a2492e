"""The file that a definition includes: segments that were published in the console."""

import re
from collections.abc import Callable
from pathlib import Path

from features.errors import DefinitionError, shown

#: of a file that can be included: one beside the definition
FILE_NAME = re.compile(r"[\w.-]+\.ya?ml")

#: a file of keys, as YAML has it
Content = dict[object, object]


def with_included(
    content: Content, path: Path, read: Callable[[Path], Content | None]
) -> tuple[Content, frozenset[str]]:
    """Put the segments of the included file to those of a definition; a file that is not there yet holds none.

    Args:
        content: what the definition file says.
        path: where it lies; the included file's path starts beside it.
        read: reads the included file; None where it is not there.

    Returns:
        The whole, and the names of the segments that are of the definition file itself.

    Raises:
        DefinitionError: the included file holds something else than segments, or one that the definition has, too.
    """
    name, own = content.get("include"), content.get("segments") or {}
    if not isinstance(own, dict):  # the schema says what is wrong
        return content, frozenset()
    by_hand = frozenset(map(str, own))
    if not isinstance(name, str) or not FILE_NAME.fullmatch(name):
        return content, by_hand
    file = path.parent / name
    found = read(file)
    if found is None:
        return content, by_hand
    segments = found.get("segments") or {}
    if set(found) - {"segments"} or not isinstance(segments, dict):
        keys = ", ".join(map(shown, set(found) - {"segments"})) or "no segments"
        raise DefinitionError(f"{file} holds {keys}.", fix="an included file holds segments: alone")
    if both := sorted(str(key) for key in segments.keys() & own.keys()):
        raise DefinitionError(
            f"segments.{both[0]} is in {path} and in {file}.", fix="remove it from one of them, or rename it"
        )
    return content | {"segments": own | segments}, by_hand
