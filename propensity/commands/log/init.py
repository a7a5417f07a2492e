"""The command that proposes a definition for a log."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from propensity.commands.log.asking import Silent, Terminal, choose, in_terminal
from propensity.commands.log.imports import run
from propensity.commands.log.sourced import source_of
from propensity.console import ShownSteps, out, progress, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from features.definition.sections.log.sources import Source
    from features.proposal.draft import Draft
    from features.proposal.given import Given

#: where an export is imported to, seen from the definition
IMPORTED = "data/events"


def init(
    logs: Annotated[
        list[str],
        typer.Argument(
            metavar="LOG...",
            help="the log: files, folders, patterns, or an address as in events.sources; with --like an export",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", help="the definition to write")] = Path("mine.yaml"),
    name: Annotated[str, typer.Option(help="the definition's name; all that is kept lies under it")] = "mine",
    like: Annotated[str | None, typer.Option(help="import it first, as an export of this tool")] = None,
    user: Annotated[str | None, typer.Option(help="the column of the user")] = None,
    event: Annotated[str | None, typer.Option(help="the column of the event's name")] = None,
    time: Annotated[str | None, typer.Option(help="the column of the time")] = None,
    arrived: Annotated[str | None, typer.Option(help="the column of the time at which a row arrived")] = None,
    event_id: Annotated[str | None, typer.Option("--id", help="the column of the event's id")] = None,
    time_format: Annotated[str | None, typer.Option(help="how times in text are written, as '%d.%m.%Y %H:%M'")] = None,
    table_name: Annotated[str | None, typer.Option("--table", help="the table of a database or a DuckDB file")] = None,
    encoding: Annotated[str, typer.Option(help="encoding of CSV files: utf-8, utf-16 or latin-1")] = "utf-8",
    traits: Annotated[
        str | None, typer.Option(help="a table of the users' attributes; one beside the log is found without")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="take all guesses, and write it without asking")] = False,
) -> None:
    """Propose a definition for a log: its columns, signals, windows, horizons and base rates, as commented YAML."""
    from features.definition.file.load import load_definition
    from features.errors import PropensityError
    from features.proposal.draft import draft
    from features.proposal.given import Given
    from features.system.files.durable import write_durably

    if not re.fullmatch(r"[a-z][a-z0-9-]{0,40}", name):
        raise PropensityError(f"--name {name!r} cannot be used.", fix="use small letters, digits and hyphens")
    if to.exists():
        raise PropensityError(f"{to} is there already.", fix="name another file with --to, or remove it")
    given = {"user": user, "event": event, "time": time, "arrived": arrived, "id": event_id}
    columns = {key: column for key, column in given.items() if column is not None}
    path: str | list[str]
    beside = None if traits is None else _seen_from(to, traits)
    if (source := source_of(logs[0], table_name, like)) is not None:
        path, known = IMPORTED, _fetched(source, to, columns, time_format, beside)
    elif like is None:
        table_name = _table(logs, table_name, ask=not yes and in_terminal())
        path = _seen_from(to, logs[0]) if len(logs) == 1 else [_seen_from(to, log) for log in logs]
        known = Given(table_name, columns, time_format, encoding, beside)
    else:
        path, known = IMPORTED, _imported(logs, like, to, encoding, beside)
    silent = Silent()
    asking = Terminal() if not yes and in_terminal() else silent
    found = draft(name, path, to.resolve().parent, known, asking)
    out.print(*_page(found), sep="\n")
    if not yes:
        silent.refuse()
        if asking is not silent and not typer.confirm(f"Write {to}?", default=True):
            raise typer.Exit(1)
    write_durably(to, found.text.encode())
    try:
        load_definition(to)
    except PropensityError:
        to.unlink()  # what cannot be loaded is in nobody's way
        raise
    words = escape(f"Written to {to}. Look through it, then: propensity check --definition {to}")
    out.print(words, highlight=False, soft_wrap=True)


def _table(logs: list[str], table: str | None, *, ask: bool) -> str | None:
    """The table of a DuckDB file: the one it has, or the one that is meant.

    Raises:
        EventLogError: it has several, and nobody can be asked.
    """
    from features.engines.files import KINDS, suffix_of
    from features.engines.tables import tables_of
    from features.errors import EventLogError

    file = Path(logs[0])
    if table is not None or len(logs) > 1 or KINDS.get(suffix_of(file)) != "duckdb" or not file.is_file():
        return table
    there = tables_of(file)
    if len(there) == 1:
        return there[0]
    if not there:
        raise EventLogError(f"{file} has no table.", fix="name another file")
    if ask:
        typer.echo(f"{file} has the tables {', '.join(there)}.")
        return choose("table of the events", there, next((n for n in there if "event" in n.lower()), None))
    raise EventLogError(
        f"{file} has {len(there)} tables: {', '.join(there)}.",
        fix=f"name the one of the events, as in --table {there[0]}",
    )


def _seen_from(to: Path, log: str) -> str:
    """A path as it is written in the definition: relative ones start at its folder."""
    if "://" in log or "$" in log or Path(log).is_absolute():
        return log
    return os.path.relpath(Path(log).absolute(), to.absolute().parent)


def _imported(exports: list[str], like: str, to: Path, encoding: str, traits: str | None) -> "Given":
    """Import an export; what is known of the log that it makes."""
    from features.imports.importer import load
    from features.proposal.given import Given

    importer = load(like).adding({}, encoding=encoding)
    run([Path(export) for export in exports], importer, to.resolve().parent / IMPORTED)
    return Given(None, {name: name for name in importer.canonical}, None, "utf-8", traits)


def _fetched(
    source: "Source", to: Path, columns: dict[str, str], time_format: str | None, traits: str | None
) -> "Given":
    """Fetch a source; what is known of the log that it makes."""
    from features.imports.importer import load
    from features.proposal.given import Given
    from features.sources.fetch import fetch_whole

    folder, like = to.resolve().parent, getattr(source, "like", None)
    with progress() as bars:
        done = fetch_whole("log", source, folder, folder / IMPORTED, ShownSteps(bars))
    out.print(f"{done.rows:,} rows fetched into {escape(str(folder / IMPORTED))}", highlight=False, soft_wrap=True)
    known = columns if like is None else {name: name for name in load(like).canonical}
    stated = {key: str(value) for key, value in source.model_dump(mode="json", exclude_defaults=True).items()}
    return Given(None, known, time_format, "utf-8", traits, {"kind": source.kind} | stated)


def _page(found: "Draft") -> "list[RenderableType]":
    import polars as pl

    columns: list[dict[str, object]] = [
        {"what": key, "column": guess.column, "why": ("" if guess.sure else "? ") + guess.why}
        for key, guess in found.columns.guesses.items()
    ]
    signals = found.signals
    roles = {"activity": signals.activity, "purchase": signals.purchase, "leave": signals.leave, "cart": signals.cart,
             "undone": signals.undone}  # fmt: skip
    events: list[dict[str, object]] = [
        {"event": kind.name, "rows": kind.rows, "users": kind.users, "first": f"{kind.first:%Y-%m-%d}",
         "last": f"{kind.last:%Y-%m-%d}", "in": ", ".join(role for role, some in roles.items() if kind in some)}
        for kind in signals.every[:20]
    ]  # fmt: skip
    asked: list[dict[str, object]] = [
        {"outcome": outcome, "within": f"{h.days}d", "was so": "–" if h.share is None else f"{h.share:.1%}",
         "of answers": h.users}
        for outcome, h in found.horizons.items()
    ]  # fmt: skip
    if found.traits is not None:
        columns.append({"what": "traits", "column": found.traits.path, "why": found.traits.why})
        columns.append({"what": "", "column": ", ".join(found.traits.fields), "why": f"known at {found.traits.known}"})
    titles = {"Columns": columns, f"Events ({len(signals.every)} names)": events, "Outcomes": asked}
    return [table(title, pl.DataFrame(rows)) for title, rows in titles.items()]
