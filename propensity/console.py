"""What people see: progress and tables."""

import logging
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from features.system.progress import Progress as Advance
from propensity.durations import clock

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType

out = Console()
err = Console(stderr=True)


class Warnings(logging.Handler):
    """Shows what the log's warnings say, among the progress bars and not in them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show one."""
        err.print(f"[bold yellow]warning[/] {escape(record.getMessage())}", soft_wrap=True, highlight=False)


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
    """Steps of a job, as progress bars or as lines.

    Args:
        bars: where they are shown.
        expected: seconds that the job will take, where that is known; lines show it.
    """

    def __init__(self, bars: Progress, expected: float | None = None) -> None:
        self._bars, self._expected, self._began = bars, expected, time.monotonic()

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
        """Write how long the job has run, of how long, the step, and how long it took.

        As ``02:31 of about 03:45 churn: report, register (4.1 s)``.
        """
        now = time.monotonic()
        of = "" if self._expected is None else f" of about {clock(self._expected)}"
        line = f"{clock(now - self._began)}{of} {label} ({now - began:.1f} s)"
        err.print(line, soft_wrap=True, highlight=False, markup=False)


def table(title: str, rows: "pl.DataFrame", *, digits: int = 3) -> "RenderableType":
    """Make a table of a frame: numbers right-aligned, shares as numbers with ``digits``.

    Where the terminal is so narrow that a name would be cut, each row becomes lines of ``column value`` instead.
    """
    from rich.table import Table

    shown = Table(title=title, title_justify="left", title_style="bold")
    names = [name.replace("_", " ") for name in rows.columns]
    for name, dtype in zip(names, rows.dtypes, strict=True):
        shown.add_column(name, justify="right" if dtype.is_numeric() else "left")
    cells = [[_cell(value, digits) for value in row] for row in rows.iter_rows()]
    for row in cells:
        shown.add_row(*row)
    with out.capture() as captured:
        out.print(shown)
    drawn = captured.get()
    words = {word for row in [names, *cells] for cell in row for word in cell.split()}
    return shown if all(word in drawn for word in words) else _lines(title, names, cells)


def _lines(title: str, names: list[str], cells: list[list[str]]) -> "RenderableType":
    """Rows as lines that break between words only, each begun by its first cell."""
    from rich.console import Group
    from rich.text import Text

    lines = [Text(title, "bold")]
    for row in cells:
        line = " · ".join([row[0], *(f"{name} {cell}" for name, cell in zip(names[1:], row[1:], strict=True) if cell)])
        lines += [
            Text(part, no_wrap=True, overflow="ignore")
            for part in textwrap.wrap(
                line, out.width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
            )
        ]
    return Group(*lines)


def _cell(value: object, digits: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def shown_time(instant: int) -> str:
    """An instant as it stands in a table, in UTC."""
    return datetime.fromtimestamp(instant / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
