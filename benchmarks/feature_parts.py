"""Parts of `make bench` about feature rows and the event store."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from benchmarks import (
    features,
    scale,
    spark,
    stores,
)
from benchmarks.duckdb_expert import by_duckdb_expert
from benchmarks.page import (
    BESIDE,
    BESIDE_EXPERTS,
    DAY,
    GROWTH,
    SIGNALS,
    SPARK,
    STORES,
)
from benchmarks.polars_expert import by_polars_expert
from benchmarks.world import Log, log_of

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
