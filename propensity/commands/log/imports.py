"""The command that makes a log of another tool's export."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from propensity.console import err, out, progress

if TYPE_CHECKING:
    from features.imports.importer import Column, Importer


def import_export(
    like: Annotated[str, typer.Argument(metavar="LIKE", help="the importer, as segment or ga4, or a YAML file")] = "",
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="EXPORT...", help="files, folders or patterns of the export")
    ] = None,
    to: Annotated[Path, typer.Option("--to", help="the folder of the log")] = Path("data/events"),
    column: Annotated[
        list[str] | None,
        typer.Option("--column", help="a further column: name=field, name=field:number or name=field:truth"),
    ] = None,
    zone: Annotated[str | None, typer.Option(help="time zone of times without an offset, as Europe/Berlin")] = None,
    decimal: Annotated[str | None, typer.Option(help="decimal mark of numbers: . or ,")] = None,
    encoding: Annotated[str | None, typer.Option(help="encoding of CSV files: utf-8, utf-16 or latin-1")] = None,
    listed: Annotated[bool, typer.Option("--list", help="list the importers, and stop")] = False,
) -> None:
    """Make an event log of an export of another tool; files that were imported before are passed over."""
    from features.errors import EventLogError
    from features.imports.importer import load, names

    if listed:
        for name in names():
            out.print(f"{name:16} {load(name).title}", highlight=False)
        return
    if not like or not paths:
        fix = f"as in: propensity import segment exports/; importers: {', '.join(names())}"
        raise EventLogError("an importer and the files of the export are needed.", fix=fix)
    importer = load(like).adding(_columns(column or []), zone=zone, decimal=decimal, encoding=encoding)
    run(paths, importer, to)
    columns = ", ".join(f"{name}: {name}" for name in importer.canonical)
    _print(f"In propensity.yaml:\nevents:\n  path: {to}\n  columns: {{{columns}}}")


def run(paths: list[Path], importer: "Importer", to: Path) -> None:
    """Import the files of an export, and show what became of each."""
    from features.errors import EventLogError
    from features.imports.job import Passed, import_files

    rows = passed = 0
    lacking: Counter[str] = Counter()
    with progress() as bars:
        task = bars.add_task("files", total=None)
        for done in import_files(paths, importer, to, lambda n: bars.update(task, advance=n)):
            if isinstance(done, Passed):
                passed += 1
                continue
            rows += done.rows
            lacking.update(done.dropped)
            left = "".join(f", {n:,} left out: {reason}" for reason, n in done.dropped.items())
            _print(f"{done.file.name}: {done.rows:,} events{left}")
            for warning in done.warnings:
                words = escape(f"{done.file.name}: {warning}")
                err.print(f"[bold yellow]warning[/] {words}", soft_wrap=True, highlight=False)
    over = f"; {passed:,} files passed over." if passed else "."
    _print(f"{rows:,} events imported into {to}{over}")
    lacking.pop("not an event", None)
    if not rows and not passed and lacking:
        why = ", ".join(f"{n:,} {reason}" for reason, n in lacking.items())
        fix = f"is it an export of {importer.title}? propensity import lists the importers"
        raise EventLogError(f"no row is an event: {why}.", fix=fix)


def _print(text: str) -> None:
    """Print a text that may hold any path."""
    out.print(escape(text), highlight=False, soft_wrap=True)


def _columns(given: list[str]) -> "dict[str, Column]":
    from pydantic import ValidationError

    from features.errors import EventLogError
    from features.imports.importer import Column

    found = {}
    for text in given:
        name, _, field = text.partition("=")
        sql, mark, kind = field.rpartition(":")
        if not mark or kind not in ("text", "number", "truth"):
            sql, kind = field, "text"
        try:
            found[name.strip()] = Column.model_validate({"sql": sql, "kind": kind})
        except ValidationError as error:
            fix = "write it as revenue=properties.revenue:number"
            raise EventLogError(f"--column {text!r} cannot be understood.", fix=fix) from error
    return found
