"""Notices of new findings to the team: each finding once for as long as it lasts, to each destination of notices."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from features.definition.schema import Definition
from features.errors import PropensityError
from features.system.files.durable import new_folder, write_durably
from monitoring.findings import Finding
from serving.activation.wire.notify import Notices, check_service
from serving.activation.wire.url_guard import expanded

#: which findings each destination knows, in the monitoring folder
NAME = "noticed.json"


def send_notices(findings: Sequence[Finding], definition: Definition, folder: Path) -> dict[str, str]:
    """Send the destinations of kind ``notice`` the findings that they do not know yet.

    A finding that is gone and comes back is new. What could not be delivered is tried again the next time.

    Args:
        findings: all findings of now.
        definition: its destinations.
        folder: the monitoring folder, where it is kept who knows what.

    Returns:
        By destination, why a notice could not be delivered.
    """
    wanted = {name: d for name, d in definition.destinations.items() if d.kind == "notice"}
    if not wanted:
        return {}
    file, failed = folder / NAME, dict[str, str]()
    knows = _known(file)
    for name, destination in wanted.items():
        known = set(knows.get(name, ()))
        new = [one for one in findings if one.key not in known]
        if new:
            key = f"destinations.{name}.url"
            try:
                url = expanded(destination.url, key=key)
                check_service(url, key=key, allow_private=destination.allow_private)
                Notices().send(url, _text(new), seconds=destination.timeout, title=f"Monitor of {definition.name}")
            except PropensityError as error:
                failed[name] = str(error)
            except Exception as error:
                # what others say in an exception may hold what is secret
                words = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else ""
                failed[name] = f"{type(error).__name__}{': ' + words if words else ''}"
        reached = set() if name in failed else {one.key for one in new}
        knows[name] = [one.key for one in findings if one.key in known | reached]
    new_folder(folder)
    write_durably(file, json.dumps({name: knows[name] for name in wanted}, indent=1).encode())
    return failed


def _known(file: Path) -> dict[str, list[str]]:
    """Which findings each destination knows; nothing where that was never kept, or is damaged: they are sent again."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return (
        {str(name): [str(key) for key in keys] for name, keys in content.items()} if isinstance(content, dict) else {}
    )


def _text(findings: Sequence[Finding]) -> str:
    """A few lines for the team."""
    return "\n".join(f"{'alarm' if one.alarm else 'note'}: {one.words}. {one.action}" for one in findings)
