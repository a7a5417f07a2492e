"""Options that commands share, and how they are read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import PropensityError

if TYPE_CHECKING:
    from datetime import date

    from features.definition import Definition
    from features.settings import Settings

DefinitionFile = Annotated[Path | None, typer.Option("--definition", "-d", help="the definition file")]
AsJson = Annotated[bool, typer.Option("--json", help="write one JSON object instead of tables")]
Instant = Annotated[str | None, typer.Option(help="an instant such as 2026-03-01 or 2026-03-01T10:00:00Z (UTC)")]
Since = Annotated[str | None, typer.Option(help="from this instant on (UTC), such as 2026-03-01T10:00:00Z")]
Ends = Annotated[str | None, typer.Option(help="use the log only up to this instant (UTC), such as 2026-03-01")]


def parse_instant(text: str | None, option: str) -> int | None:
    """Read an instant given on the command line; naive times are UTC.

    Raises:
        PropensityError: it is not an instant.
    """
    from features.time import parse_instant as read
    from features.time import to_instant

    if text is None:
        return None
    try:
        return to_instant(read(text))
    except ValueError as error:
        problem = str(error).partition(";")[0]
        raise PropensityError(f"{option} {problem}.", fix="write 2026-03-01 or 2026-03-01T10:00:00Z") from error


def parse_day(text: str | None, option: str) -> "date | None":
    """Read a day given on the command line.

    Raises:
        PropensityError: it is not a day.
    """
    from datetime import date

    if text is None:
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise PropensityError(f"{option} {text[:60]!r} is not a day.", fix="write 2026-03-01") from error


def parse_duration(text: str, option: str) -> int:
    """Read a duration such as 24h, in microseconds.

    Raises:
        PropensityError: it is not a duration.
    """
    from features.time import parse_span

    try:
        return parse_span(text)
    except ValueError as error:
        raise PropensityError(f"{option} {error}.", fix=f"as in {option} 24h") from error


def opened(file: Path | None) -> "tuple[Definition, Settings]":
    """Load settings and definition."""
    from features.definition import load_definition
    from features.settings import Settings
    from features.system.files.private import make_private

    settings = Settings() if file is None else Settings(definition=file)
    rules = load_definition(settings.definition)
    make_private(settings.folder(rules.name))  # an older version let others read it
    return rules, settings


def new_group(words: str) -> typer.Typer:
    """Make a group of commands that shows its help, and ends well, when it is called without one."""
    made = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=words)

    @made.callback(invoke_without_command=True)
    def bare(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return made
