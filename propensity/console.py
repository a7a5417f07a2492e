"""What people see: progress bars and tables."""

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from features.progress import Progress as Advance
from segments.tiers import TIERS, VALUE_TIERS

out = Console()
err = Console(stderr=True)


@contextmanager
def progress() -> Iterator[Progress]:
    """Show the steps of a long job, with their time."""
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err) as bars:
        yield bars


class ShownSteps:
    """Steps of a job as progress bars."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars

    @contextmanager
    def __call__(self, label: str, total: int | None = None) -> Iterator[Advance]:
        """Show one step."""
        task = self._bars.add_task(label, total=total)
        yield lambda done: self._bars.advance(task, done)
        known = total if total is not None else 1
        self._bars.update(task, total=known, completed=known)


def table(title: str, rows: pl.DataFrame, *, digits: int = 3) -> Table:
    """Make a table of a frame: numbers right-aligned, shares as numbers with ``digits``."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    for name, dtype in rows.schema.items():
        shown.add_column(name.replace("_", " "), justify="right" if dtype.is_numeric() else "left")
    for row in rows.iter_rows():
        shown.add_row(*(_cell(value, digits) for value in row))
    return shown


def _cell(value: object, digits: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def states_by_tier(states: pl.DataFrame, outcome: str, order: list[str]) -> pl.DataFrame:
    """Lay the counts of states and tiers of one outcome out as a grid, states in their order."""
    wide = states.filter(pl.col("outcome") == outcome).pivot("tier", index="state", values="users").fill_null(0)
    tiers = [t for t in (*TIERS[:3], *VALUE_TIERS) if t in wide.columns]
    rank = {state: i for i, state in enumerate(order)}
    wide = wide.with_columns(pl.col("state").replace_strict(rank, default=len(rank)).alias("rank")).sort("rank")
    return wide.select("state", *tiers)
