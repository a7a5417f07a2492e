"""Spark beside the local engine on one machine: the same rows, and what it costs."""

import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from benchmarks.features import KEYS, weekly
from benchmarks.world import Log
from features.definition.columns import feature_set
from features.event_store.store import EventStore
from features.events.write import part_files
from features.reading.source import EventLog
from features.settings import Settings
from features.snapshot import write_snapshots


def cost(log: Log, snapshots: int = 8) -> tuple[pl.DataFrame, dict[str, float]]:
    """Write the same snapshots with both engines; the largest relative difference, and Spark's shuffle."""
    from pyspark.sql import SparkSession

    from features.spark.log import SparkLog
    from features.spark.session import STARTED

    os.environ["PYSPARK_PYTHON"] = sys.executable
    cutoffs = weekly(log, snapshots)
    with log.fresh_home() as home:
        session = (
            SparkSession.builder.master("local[*]").config("spark.ui.enabled", True).config("spark.driver.memory", "6g")
            .config("spark.ui.showConsoleProgress", False).config("spark.log.level", "ERROR")
            .config(map=STARTED).getOrCreate()
        )  # fmt: skip
        rows: list[dict[str, Any]] = []
        for engine in ("local", "spark"):
            settings = Settings(home=home / engine, engine=engine, spark="local[*]")  # type: ignore[arg-type]
            began = perf_counter()
            source = (
                SparkLog.open(log.definition, settings)
                if engine == "spark"
                else EventStore.open(EventLog(log.definition), settings)
            )
            written = write_snapshots(source, cutoffs, log.definition, home / engine / "snapshots")
            rows.append(
                {
                    "engine": engine,
                    "events": log.events,
                    "snapshots": snapshots,
                    "rows": written,
                    "seconds": perf_counter() - began,
                }
            )
        shuffled = _shuffled(session)
        session.stop()
        worst = _apart(home, feature_set(log.definition).numeric)
        table = pl.DataFrame(rows).with_columns(shuffle_mb=pl.Series([None, shuffled / 1e6]))
    return table, {"spark.parity_max_rel_diff": worst, "spark.shuffle_bytes_per_event": shuffled / log.events}


def _apart(home: Path, names: list[str]) -> float:
    """The largest relative difference between the snapshots of both engines."""
    local, spark = (_rows(home / engine / "snapshots") for engine in ("local", "spark"))
    if not local.select(KEYS).equals(spark.select(KEYS)):
        raise ValueError("Spark and the local engine yield other rows")
    left, right = local.select(names).to_numpy(), spark.select(names).to_numpy()
    return float(np.nanmax(np.abs(left - right) / np.maximum(np.abs(left), 1e-12)))


def _shuffled(session: Any) -> float:
    """Bytes that went through the shuffle of the last stages."""
    import json
    from urllib.request import urlopen

    address = session.sparkContext.uiWebUrl.split("//")[1].split(":")[1]
    app = session.sparkContext.applicationId
    with urlopen(f"http://127.0.0.1:{address}/api/v1/applications/{app}/stages") as answer:
        return float(max(stage["shuffleWriteBytes"] for stage in json.load(answer)))


def _rows(folder: Path) -> pl.DataFrame:
    return pl.concat(pl.read_parquet(f, hive_partitioning=False) for f in part_files(folder)).sort(KEYS)
