"""Run all measurements: ``make bench``."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.feature_parts import feature_costs
from benchmarks.page import replace, write
from benchmarks.parts import model_costs, part
from benchmarks.world import ROOT
from propensity.console import out, table


def main(
    users: Annotated[int, typer.Option(help="users of the trained demo world")] = 20_000,
    events: Annotated[int, typer.Option(help="events of the largest log, in millions")] = 100,
    logs: Annotated[Path | None, typer.Option(help="folder in which the logs are kept for the next time")] = None,
    folder: Annotated[Path, typer.Option(help="where results.md and results.json go")] = ROOT / "benchmarks",
    only: Annotated[
        str,
        typer.Option(
            help="'live', 'ingest', 'segments', 'audience', 'console', 'start', 'worlds', 'models', 'rolling', "
            "'identity', 'monitoring', 'day', 'batch' or 'experts'"
        ),
    ] = "",
    soak: Annotated[float, typer.Option(help="seconds of the soak; 0 leaves it out")] = 600,
) -> None:
    """Measure, print, and write ``results.md`` and ``results.json``."""
    if only:
        tables, numbers = part(only, users, soak)
        replace(folder, tables, numbers, users)
    else:
        tables, numbers = feature_costs(events * 1_000_000, logs)
        more_tables, more = model_costs(users, soak)
        tables, numbers = tables | more_tables, numbers | more
        write(folder, tables, numbers, users)
    out.print(*(table(title, rows) for title, rows in tables.items()), sep="\n")


if __name__ == "__main__":
    typer.run(main)
