"""Parts of `make bench` about models and what is done with them, and each part alone."""

from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from benchmarks import (
    answers,
    audience,
    batch,
    console,
    identity,
    ingest,
    live,
    merge_day,
    monitor_day,
    monitoring,
    quality,
    reasons,
    rolling,
    segments,
    start,
)
from benchmarks.feature_parts import beside_experts, one_more_day
from benchmarks.page import (
    AUDIENCE,
    BATCH,
    BESIDE_EXPERTS,
    BEST,
    CDNOW,
    CONSOLE,
    DAY,
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
    START,
    VALUE,
)
from benchmarks.world import A_MILLION_USERS, ROOT, World, log_of, trained
from examples.demo.world import WORLDS
from features.definition import load_definition


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
