"""Run all measurements: ``make bench``."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from benchmarks import answers, features, quality
from benchmarks.world import ROOT, trained
from propensity.console import out, table

PACKAGES = ("feast", "bentoml", "mlflow", "lightgbm", "duckdb", "polars", "numba")


def markdown(title: str, rows: pl.DataFrame) -> str:
    """Write a table as Markdown."""
    head = [name.replace("_", " ") for name in rows.columns]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows.iter_rows():
        cells = [f"{v:,.4g}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else str(v) for v in row]
        lines.append(f"| {' | '.join(cells)} |")
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def main(
    users: Annotated[int, typer.Option(help="users of the demo world")] = 20_000,
    folder: Annotated[Path, typer.Option(help="where results.md and results.json go")] = ROOT / "benchmarks",
) -> None:
    """Measure, print, and write ``results.md`` and ``results.json``."""
    with trained(users) as world:
        tables = {
            "Distance from the best possible forecast": quality.distance_from_best(world),
            "Features: the fold and DuckDB's filtered aggregates, end to end": features.cost(world),
            "Answers over HTTP, one call after the other": answers.cost(world),
        }
        seconds = world.train_seconds
    best, fold, http = tables.values()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    said = f"{users:,} users of the demo world; {machine}; {versions}. Times are of one run; ratios are within it."
    sections = [markdown(title, rows) for title, rows in tables.items()]
    text = "\n".join(["# Results", "", said, "", f"`propensity train` took {seconds:.0f} s.", "", *sections])
    numbers = {
        "train.seconds": seconds,
        "model.worst_auc_ratio_to_best": float(best["ratio"].to_numpy().min()),
        "model.worst_calibration_error": float(best["calibration_error"].to_numpy().max()),
        "features.vs_duckdb_sql": fold["times_faster"][0],
        "live.score_p50_over_noop": http.filter(pl.col("call") == "1 user")["p50_over_noop"][0],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(text, encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    out.print(*(table(title, rows) for title, rows in tables.items()), sep="\n")


if __name__ == "__main__":
    typer.run(main)
