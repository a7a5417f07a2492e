"""Publishing a segment: into the file that the definition includes, whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from features.definition.file.load import load_definition
from features.definition.schema import Definition
from features.system.files.durable import write_durably
from features.system.files.lock import locked
from serving.console.refusals import ConsoleError

#: what stands at the top of the file
HEAD = "# Segments that were published in the console; it writes this file, and propensity check reads it.\n"


def publish(definition: Definition, lock: Path, name: str, content: Mapping[str, object] | None) -> None:
    """Write a segment into the included file, or take it out; the definition must load with it, or nothing changes.

    Args:
        definition: what includes the file.
        lock: the folder that is held meanwhile.
        name: of the segment.
        content: its keys; None takes it out.

    Raises:
        ConsoleError: the definition includes no file, or has a segment of this name of its own.
        DefinitionError: the definition would not load; the file is as it was.
    """
    file, source = included(definition), definition.file
    with locked(lock, wait=True):
        segments = _segments(file)
        if content is None:
            segments.pop(name, None)
        else:
            segments[name] = dict(content)
        # before it is written: who reads the definition at this moment finds one that loads
        load_definition(source, included={"segments": segments})
        text = yaml.safe_dump({"segments": segments}, sort_keys=False, allow_unicode=True)
        _write(file, (HEAD + text).encode())


def included(definition: Definition) -> Path:
    """The file that published segments are written to.

    Raises:
        ConsoleError: the definition includes none.
    """
    if definition.include_file is None:
        raise ConsoleError("builder.no_file", file=definition.file.name)
    return definition.include_file


def _write(file: Path, content: bytes) -> None:
    try:
        write_durably(file, content)
    except OSError as error:
        raise ConsoleError("builder.unwritable", 500, file=file.name, why=error.strerror or "") from error


def _segments(file: Path) -> dict[str, object]:
    if not file.exists():
        return {}
    found = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    segments = found.get("segments") or {}
    return dict(segments)
