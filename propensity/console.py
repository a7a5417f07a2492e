"""What people see: progress and tables."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from features.progress import Progress as Advance

if TYPE_CHECKING:
    import polars as pl
    from rich.table import Table

out = Console()
err = Console(stderr=True)


@contextmanager
def progress() -> Iterator[Progress]:
    """Show the steps of a long job, with their time: bars in a terminal, a line a step in a pipe or a log."""
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal) as bars:
        yield bars


class ShownSteps:
    """Steps of a job, as progress bars or as lines."""

    def __init__(self, bars: Progress) -> None:
        self._bars, self._began = bars, time.monotonic()

    @contextmanager
    def __call__(self, label: str, total: int | None = None) -> Iterator[Advance]:
        """Show one step."""
        if self._bars.disable:
            began = time.monotonic()
            yield lambda _: None
            self._line(label, began)
            return
        task = self._bars.add_task(label, total=total)
        yield lambda done: self._bars.advance(task, done)
        known = total if total is not None else 1
        self._bars.update(task, total=known, completed=known)

    def _line(self, label: str, began: float) -> None:
        """Write how long the job has run, the step, and how long it took: ``02:31 churn: register (4.1 s)``."""
        now = time.monotonic()
        minutes, seconds = divmod(round(now - self._began), 60)
        line = f"{minutes:02}:{seconds:02} {label} ({now - began:.1f} s)"
        err.print(line, soft_wrap=True, highlight=False, markup=False)


def table(title: str, rows: "pl.DataFrame", *, digits: int = 3) -> "Table":
    """Make a table of a frame: numbers right-aligned, shares as numbers with ``digits``."""
    from rich.table import Table

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


def states_by_tier(states: "pl.DataFrame", outcome: str, order: list[str]) -> "pl.DataFrame":
    """Lay the counts of states and tiers of one outcome out as a grid, states in their order."""
    import polars as pl

    from segments.tiers import TIERS, VALUE_TIERS

    wide = states.filter(pl.col("outcome") == outcome).pivot("tier", index="state", values="users").fill_null(0)
    tiers = [t for t in (*TIERS[:3], *VALUE_TIERS) if t in wide.columns]
    rank = {state: i for i, state in enumerate(order)}
    wide = wide.with_columns(pl.col("state").replace_strict(rank, default=len(rank)).alias("rank")).sort("rank")
    return wide.select("state", *tiers)
