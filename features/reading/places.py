"""Where a log is, and what its files are called from there."""

import os
from pathlib import Path

from features.definition.schema import Definition
from features.engines.files import path_of
from features.errors import EventLogError


def place_of(definition: Definition) -> list[str]:
    """Where a definition's log is, seen from the definition's folder."""
    paths = resolve(definition, definition.events.path)
    return [name_in(definition, path.parent) + "/" + path.name for path in paths]


def name_in(definition: Definition, file: Path) -> str:
    """A file's name seen from the definition's folder."""
    return os.path.relpath(file.parent.resolve() / file.name, definition.folder.resolve())


def resolve(definition: Definition, path: str | list[str]) -> list[Path]:
    """Resolve paths: ``${NAME}`` comes from the environment, and relative paths start at the definition's folder.

    Raises:
        EventLogError: a variable is not set.
    """
    resolved = []
    for each in [path] if isinstance(path, str) else path:
        expanded = os.path.expandvars(each)
        if "$" in expanded:
            raise EventLogError(f"{each} names a variable that is not set.", fix="export it, as in LOGS=path/to/logs")
        resolved.append(path_of(expanded, definition.folder))
    return resolved
