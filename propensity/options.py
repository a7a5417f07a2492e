"""Options that commands share, and how they are read."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from features.definition import Definition, load_definition
from features.errors import PropensityError
from features.settings import Settings
from features.time import to_instant

DefinitionFile = Annotated[Path | None, typer.Option("--definition", "-d", help="the definition file")]
Instant = Annotated[str | None, typer.Option(help="an instant such as 2026-03-01 or 2026-03-01T10:00:00Z (UTC)")]


def parse_instant(text: str | None, option: str) -> int | None:
    """Read an instant given on the command line; naive times are UTC.

    Raises:
        PropensityError: it is not an instant.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise PropensityError(f"{option} {text!r} is not an instant.", fix="write 2026-03-01T10:00:00Z") from error
    return to_instant(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def opened(file: Path | None) -> tuple[Definition, Settings]:
    """Load settings and definition."""
    settings = Settings() if file is None else Settings(definition=file)
    return load_definition(settings.definition), settings
