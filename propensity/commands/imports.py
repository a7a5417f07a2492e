"""The command that makes a log of another tool's export."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from propensity.console import err, out, progress

if TYPE_CHECKING:
    from features.imports.convert import Converted
    from features.imports.importer import Column


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
    from features.imports.job import Passed, import_files

    if listed:
        for name in names():
            out.print(f"{name:16} {load(name).title}", highlight=False)
        return
    if not like or not paths:
        fix = f"as in: propensity import segment exports/; importers: {', '.join(names())}"
        raise EventLogError("an importer and the files of the export are needed.", fix=fix)
    importer = load(like).adding(_columns(column or []), zone=zone, decimal=decimal, encoding=encoding)
    rows = passed = 0
    with progress() as bars:
        task = bars.add_task("files", total=None)
        for done in import_files(paths, importer, to, lambda n: bars.update(task, advance=n)):
            if isinstance(done, Passed):
                passed += 1
            else:
                rows += done.rows
                _show(done)
    over = f"; {passed:,} files passed over." if passed else "."
    out.print(f"{rows:,} events imported into {to}{over}", highlight=False, soft_wrap=True)
    names_of = ["user", "event", "time", *(["arrived"] if importer.arrived else []), *(["id"] if importer.id else [])]
    columns = ", ".join(f"{name}: {name}" for name in names_of)
    out.print(f"In propensity.yaml:\nevents:\n  path: {to}\n  columns: {{{columns}}}", highlight=False, soft_wrap=True)


def _show(done: "Converted") -> None:
    left = "".join(f", {n:,} left out: {reason}" for reason, n in done.dropped.items())
    out.print(f"{done.file.name}: {done.rows:,} events{left}", highlight=False, soft_wrap=True)
    for sentence in done.said:
        err.print(f"[bold yellow]warning[/] {done.file.name}: {sentence}", soft_wrap=True, highlight=False)


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
