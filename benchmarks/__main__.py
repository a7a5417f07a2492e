"""Run all measurements: ``make bench``."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import polars as pl
import typer

from benchmarks import (
    answers,
    audience,
    batch,
    console,
    features,
    identity,
    ingest,
    live,
    merge_day,
    monitor_day,
    monitoring,
    quality,
    reasons,
    rolling,
    scale,
    segments,
    spark,
    start,
    stores,
)
from benchmarks.duckdb_expert import by_duckdb_expert
from benchmarks.page import (
    AUDIENCE,
    BATCH,
    BESIDE,
    BESIDE_EXPERTS,
    BEST,
    CDNOW,
    CONSOLE,
    DAY,
    GROWTH,
    HANDOFF,
    HTTP,
    IDENTITY,
    INGEST,
    LATENCY,
    LOAD,
    REAL,
    REASONS,
    RIGHT,
    ROLLING,
    SEGMENTS,
    SIGNALS,
    SPARK,
    START,
    STORES,
    VALUE,
    replace,
    write,
)
from benchmarks.polars_expert import by_polars_expert
from benchmarks.world import A_MILLION_USERS, ROOT, Log, World, log_of, trained
from examples.demo.world import WORLDS
from features.definition import load_definition
from propensity.console import out, table

#: ways of people who know their engine well
EXPERTS = {"an expert's Polars and NumPy": by_polars_expert, "an expert's DuckDB": by_duckdb_expert}


def beside_others(most: int, folder: Path) -> pl.DataFrame:
    """The fold beside other ways, on logs each of them can take."""
    large, middle, small = (log_of(max(most // by, 20_000), folder) for by in (1, 10, 500))
    midnight = features.weekly(small, 4) // features.DAY * features.DAY  # where its windows are ours
    rules = small.definition
    columns = rules.events.columns.model_copy(update={"arrived": None})
    plain = rules.model_copy(
        update={
            "events": rules.events.model_copy(update={"columns": columns}),
            "windows": [7 * features.DAY, 30 * features.DAY],
        }
    )
    plain._source = rules._source
    rows = [
        features.compare(large, "DuckDB filtered aggregates", features.by_duckdb, features.weekly(large, 26)),
        features.compare(large, "Polars filtered expressions", features.by_polars, features.weekly(large, 26)),
        features.compare(middle, "pandas group-by", features.by_pandas, features.weekly(middle, 4)),
        features.compare(Log(small.folder, plain, small.events), "featuretools", features.by_featuretools, midnight),
    ]
    return pl.DataFrame(rows)


def beside_experts(log: Log) -> tuple[pl.DataFrame, dict[str, float]]:
    """The fold beside the ways of people who know their engine well, in medians of three runs by turns."""
    cutoffs = features.weekly(log, 26)
    rows = [features.compare(log, name, way, cutoffs, runs=3) for name, way in EXPERTS.items()]
    kept = features.kept_store_s(log, cutoffs, runs=3)
    polars, duckdb = (float(str(row["other_s"])) for row in rows)
    numbers = {
        "features.vs_polars_expert": float(str(rows[0]["times_faster"])),
        "features.vs_duckdb_expert": float(str(rows[1]["times_faster"])),
        "features.kept_store_vs_polars_expert": polars / kept,
    }
    shown = [row | {"fold_from_kept_store_s": kept, "times_faster_from_it": taken / kept}
             for row, taken in zip(rows, (polars, duckdb), strict=True)]  # fmt: skip
    return pl.DataFrame(shown), numbers


def growth(most: int, folder: Path) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, dict[str, float]]:
    """How cost grows with events and snapshots, with signals, and with a day."""
    logs = [scale.apart("measure", max(most // by, 20_000), folder) for by in (100, 10, 1)]
    signals = [scale.apart("measure", max(most // 100, 20_000), folder, n) for n in (4, 8, 16, 32)]
    days, more = one_more_day(most, folder)
    folds = (f"read_and_fold_{n}_s" for n in scale.SNAPSHOTS)
    shown = ["events", "take_in_s", "read_s", *folds, "kernel_events_per_s_core",
             "store_bytes_per_event", "peak_gib"]  # fmt: skip
    ten, hundred = logs[1], logs[2]
    whole = [ten["take_in_s"] + ten[f"read_and_fold_{n}_s"] for n in (26, 52)]
    numbers = {
        "features.snapshots_52_over_26": whole[1] / whole[0],
        "features.snapshots_52_over_26_kept": ten["read_and_fold_52_s"] / ten["read_and_fold_26_s"],
        "features.kernel_events_per_s_core": ten["kernel_events_per_s_core"],
        "features.memory_100m_gib": hundred["peak_gib"],
    }
    by_signals = pl.DataFrame(signals).select(
        "signals", "events", "take_in_s", "read_s", "read_and_fold_26_s", "peak_gib"
    )
    return pl.DataFrame(logs).select(shown), by_signals, days, numbers | more


def one_more_day(most: int, folder: Path) -> tuple[pl.DataFrame, dict[str, float]]:
    """A day on top of logs of a hundredth and of a tenth of so many events."""
    days = [scale.apart("day", max(most // by, 20_000), folder) for by in (100, 10)]
    return pl.DataFrame(days), {"features.one_more_day_share": days[-1]["share"]}


def live_path(world: World, numbers: dict[str, float], soak: float) -> dict[str, pl.DataFrame]:
    """Answers over HTTP, and the live path under load."""
    http, more = answers.cost(world)
    numbers |= more
    load, histogram, more = live.cost(world, soak=soak)
    numbers |= more
    events, more = ingest.cost(world)
    numbers |= more
    return {
        HTTP: http,
        LOAD: load,
        LATENCY: histogram,
        **({INGEST: events} if len(events) else {}),
    }


def acting(world: World, numbers: dict[str, float]) -> dict[str, pl.DataFrame]:
    """Segments and the hand-off."""
    called, more = segments.over_reading(world)
    numbers |= more
    handed_off, more = segments.handed_off(world)
    numbers |= more
    return {SEGMENTS: called, HANDOFF: handed_off}


def known_logs() -> tuple[dict[str, pl.DataFrame], dict[str, float]]:
    """Models on CDNOW and on the example logs that are at hand."""
    (bought, numbers), (spent, more) = quality.cdnow(), quality.amounts()
    return {
        CDNOW: bought,
        VALUE: spent,
        REAL: quality.real_logs(),
    }, numbers | more


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


def part(only: str, users: int, soak: float) -> tuple[dict[str, pl.DataFrame], dict[str, float]]:
    """Measure one part alone."""
    if only == "models":
        return known_logs()
    if only == "worlds":
        return worlds(users, None)
    if only == "identity":
        return people()
    if only == "monitoring":
        return monitored()
    if only == "audience":
        return edited()
    if only == "batch":
        return everybody(users)
    if only == "experts":
        with TemporaryDirectory() as scratch:
            rows, numbers = beside_experts(log_of(10_000_000, Path(scratch)))
            return {BESIDE_EXPERTS: rows}, numbers
    if only == "day":
        with TemporaryDirectory() as scratch:
            rows, numbers = one_more_day(100_000_000, Path(scratch))
            return {DAY: rows}, numbers
    if only == "rolling":
        rows, numbers = rolling.rolling()
        return {ROLLING: rows}, numbers
    if only not in ("live", "ingest", "segments", "console", "start"):
        return {}, {}
    numbers = {}
    with trained(users) as world:
        if only in ("console", "start", "ingest"):
            title, measure = {"console": (CONSOLE, console.cost), "start": (START, start.cost),
                              "ingest": (INGEST, ingest.cost)}[only]  # fmt: skip
            rows, numbers = measure(world)
            return {title: rows}, numbers
        return live_path(world, numbers, soak) if only == "live" else acting(world, numbers), numbers


def people() -> tuple[dict[str, pl.DataFrame], dict[str, float]]:
    """Measure what merging ids is worth, and what it costs."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        log = log_of(500_000, folder)
        rows, numbers = identity.worth(log, folder / "worth")
        numbers |= identity.cost(log, folder / "cost") | merge_day.cost(log, folder / "day")
        return {IDENTITY: rows}, numbers


def edited() -> tuple[dict[str, pl.DataFrame], dict[str, float]]:
    """Measure what is asked while a rule is edited, of a million users."""
    with TemporaryDirectory() as scratch:
        rows, numbers = audience.answers(load_definition(ROOT / "propensity.yaml"), Path(scratch))
        return {AUDIENCE: rows}, numbers


def everybody(users: int) -> tuple[dict[str, pl.DataFrame], dict[str, float]]:
    """Measure a batch of a million users, by models of a smaller world."""
    with trained(users) as world, TemporaryDirectory() as scratch:
        rows, numbers = batch.cost(world, log_of(A_MILLION_USERS, Path(scratch)))
        return {BATCH: rows}, numbers


def monitored() -> tuple[dict[str, pl.DataFrame], dict[str, float]]:
    """Measure how often monitoring is right, and what a night of a million users costs."""
    rows, numbers = monitoring.rates()
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        return {RIGHT: rows}, numbers | monitor_day.seconds(log_of(500_000, folder), folder / "night")


def feature_costs(most: int, logs: Path | None) -> tuple[dict[str, pl.DataFrame], dict[str, float]]:
    """Measure feature rows and the event store, on logs of up to so many events."""
    tables: dict[str, pl.DataFrame] = {}
    numbers: dict[str, float] = {}
    with TemporaryDirectory() as scratch:
        kept = logs or Path(scratch)
        tables[BESIDE] = beside = beside_others(most // 10, kept)
        tables[BESIDE_EXPERTS], numbers = beside_experts(log_of(max(most // 10, 20_000), kept))
        tables[GROWTH], tables[SIGNALS], tables[DAY], more = growth(most, kept)
        numbers |= more
        tables[STORES], more = stores.cost(log_of(most // 10, kept))
        numbers |= more
        if shutil.which("java"):
            tables[SPARK], more = spark.cost(log_of(max(most // 10, 20_000), kept))
            numbers |= more
    return tables, numbers | {"features.vs_duckdb_sql": beside["times_faster"][0]}


def model_costs(users: int, soak: float) -> tuple[dict[str, pl.DataFrame], dict[str, float]]:
    """Measure all models, and what is done with those of the shop."""
    tables, numbers = worlds(users, soak)
    more_tables, more = known_logs()
    tables |= more_tables
    numbers |= more
    tables[ROLLING], more = rolling.rolling()
    numbers |= more
    for measure in (monitored, people, edited, lambda: everybody(users)):
        more_tables, more = measure()
        tables |= more_tables
        numbers |= more
    return tables, numbers


def worlds(users: int, soak: float | None) -> tuple[dict[str, pl.DataFrame], dict[str, float]]:
    """Measure the models of every world; with the seconds of a soak also what is done with the shop's."""
    tables: dict[str, pl.DataFrame] = {}
    numbers: dict[str, float] = {}
    distances = []
    for dynamics in WORLDS:
        with trained(users, dynamics) as world:
            distances.append(quality.distance_from_best(world, dynamics))
            if dynamics == "shop":
                tables[REASONS], more = reasons.cost(world)
                numbers |= more | {"train.seconds": world.train_seconds, "train.peak_gib": world.train_gib}
                if soak is not None:
                    tables |= {**live_path(world, numbers, soak), **acting(world, numbers)}
                    tables[START], more = start.cost(world)
                    numbers |= more
                    tables[CONSOLE], more = console.cost(world)
                    numbers |= more
    tables[BEST] = best = pl.concat(distances)
    for row in best.to_dicts():
        key = f"models.{'demo' if row['world'] == 'shop' else row['world']}.{row['outcome']}"
        numbers |= {f"{key}.auc_over_bayes": row["AUC_over_best"], f"{key}.calibration_error": row["calibration_error"],
                    f"{key}.calibration_error_of_best": row["calibration_error_of_best"],
                    f"{key}.log_loss_over_bayes": row["log_loss_over_best"]}  # fmt: skip
    return tables, numbers


if __name__ == "__main__":
    typer.run(main)
