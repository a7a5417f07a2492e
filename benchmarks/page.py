"""The page of results: a table a measurement, and the numbers that the README shows."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

import polars as pl

from benchmarks import figures, live
from benchmarks.world import ROOT

PACKAGES = ("feast", "bentoml", "mlflow", "lightgbm", "duckdb", "polars", "pandas", "pyarrow", "numba", "featuretools",
            "pyspark")  # fmt: skip

BESIDE = "Features: the fold and other ways, end to end from the same Parquet files"
BESIDE_EXPERTS = "Features: the fold, which makes all columns, and experts' ways to the compared ones"
GROWTH = "The fold as the log and the number of snapshots grow"
SIGNALS = "The fold as signals grow, 26 snapshots"
DAY = "One more day on top of a year, and a rebuild"
STORES = "Profiles online, and named features"
SPARK = "Spark on one machine"
HTTP = "Answers over HTTP, one call after the other, a no-op between them"
LOAD = "The live path under load, open loop"
INGEST = "Events into PostgreSQL and Redis, offered at rising rates to one service and one worker"
LATENCY = f"Latency of scores at {live.SCORES_PER_S} requests/s"
SEGMENTS = "A hundred segments of a million users"
AUDIENCE = "A rule of seven conditions while it is edited: size, what each condition removes, who enters and leaves"
CONSOLE = "The console over HTTP, a million users, and scores while ten people are in it"
HANDOFF = "The hand-off to a signed webhook"
START = "From a command to its end, and to a service that answers"
REASONS = "Exact attributions, one user and in bulk"
BATCH = "A batch of everybody, four outcomes, from the kept store"
BEST = "Distance from the best possible forecast, in three simulated worlds"
CDNOW = "CDNOW: who buys within 90 days of 1 April 1998"
REAL = "Real logs: our models beside the best baseline and boosting on RFM features"
ROLLING = "Rolling held-out cutoffs: ours beside the best of eight peers, trained on the same rows"
IDENTITY = "People behind several devices: models on ids apart, merged, and if everybody were known"
RIGHT = "Monitoring and experiments: how often they are right, in simulated logs"
VALUE = "Predicted value: CDNOW from 1 April 1998, and the example logs that ask for it"
#: all tables there are, in the order of the page; one of another title is of an older version
TITLES = (BESIDE, BESIDE_EXPERTS, GROWTH, SIGNALS, DAY, STORES, SPARK, HTTP, LOAD, LATENCY, INGEST, SEGMENTS, AUDIENCE,
          CONSOLE, HANDOFF, START, REASONS, BATCH, BEST, CDNOW, VALUE, REAL, ROLLING, IDENTITY, RIGHT)  # fmt: skip


def markdown(title: str, rows: pl.DataFrame) -> str:
    """Write a table as Markdown."""
    head = [name.replace("_", " ") for name in rows.columns]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows.iter_rows():
        lines.append(f"| {' | '.join(_cell(value) for value in row)} |")
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def replace(folder: Path, tables: dict[str, pl.DataFrame], numbers: dict[str, float], users: int) -> None:
    """Put new tables and numbers in the place of the old ones; tables that are measured no more go."""
    file = folder / "results.md"
    head, *sections = file.read_text(encoding="utf-8").split("\n## ")
    kept = {section.split("\n", 1)[0]: section.rstrip("\n") for section in sections}
    kept |= {title: markdown(title, rows).removeprefix("## ").rstrip("\n") for title, rows in tables.items()}
    shown = [kept[title] for title in TITLES if title in kept]
    head = introduction(users, numbers) if "train.seconds" in numbers else head
    file.write_text("\n\n## ".join([head.rstrip("\n"), *shown]) + "\n", encoding="utf-8")
    published(folder, json.loads((folder / "results.json").read_text()) | numbers)


def published(folder: Path, numbers: dict[str, float]) -> None:
    """Write the numbers, and where they are the repository's own, the pages that show them."""
    (folder / "results.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    if folder.resolve() == ROOT / "benchmarks":
        figures.publish(ROOT, numbers)


def write(folder: Path, tables: dict[str, pl.DataFrame], numbers: dict[str, float], users: int) -> None:
    """Write both files."""
    text = "\n".join([introduction(users, numbers), "", *(markdown(title, rows) for title, rows in tables.items())])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(text, encoding="utf-8")
    published(folder, numbers)


def introduction(users: int, numbers: dict[str, float]) -> str:
    """The head of the page: what was measured where."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    trained_in = f"Models: {users:,} users of the demo world, trained in {numbers['train.seconds']:.0f} s"
    memory = f" and {numbers['train.peak_gib']:.1f} GiB of memory. "
    once = "Times are of one run on one machine, and ratios are within it."
    return f"# Results\n\n{trained_in}{memory}{machine}; {versions}. {once}"
