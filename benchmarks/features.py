"""What features cost: the fold beside DuckDB's filtered aggregates, end to end, yielding the same columns."""

from time import perf_counter

import duckdb
import numpy as np
import polars as pl

from benchmarks.world import World
from features.fold import feature_rows, read_all_at
from features.log.source import EventLog
from features.rows import INSTANT
from features.time import DAY, Instants, schedule, span_name


def compared_columns(world: World) -> list[str]:
    """Columns both sides yield: counts and active days by window, totals and recency of every signal."""
    names = []
    for signal in world.definition.signals:
        for w in world.definition.windows:
            if w >= DAY:
                names += [f"{signal}_count_{span_name(w)}", f"{signal}_active_days_{span_name(w)}"]
        names += [f"{signal}_count_total", f"days_since_{signal}"]
    return names


def by_duckdb(world: World, cutoffs: Instants) -> pl.DataFrame:
    """One grouped query a cutoff, each column a filtered aggregate: how it is usually written."""
    rules, parts = world.definition, []
    for c in cutoffs.tolist():
        columns = []
        for signal, rule in rules.signals.items():
            for w in rules.windows:
                if w < DAY:
                    continue
                inside = f"FILTER (({rule.where}) AND t >= {(c - w) // DAY * DAY})"
                columns += [f"count(*) {inside} AS {signal}_count_{span_name(w)}",
                            f"count(DISTINCT t // {DAY}) {inside} AS {signal}_active_days_{span_name(w)}"]  # fmt: skip
            columns += [f"count(*) FILTER ({rule.where}) AS {signal}_count_total",
                        f"({c} - max(t) FILTER ({rule.where})) / {DAY} AS days_since_{signal}"]  # fmt: skip
        parts.append(
            f"SELECT user_id AS user, {c}::BIGINT AS cutoff, {', '.join(columns)} FROM log "
            f"WHERE t < {c} AND arrived <= {c} GROUP BY 1"
        )
    any_signal = " OR ".join(f"({rule.where})" for rule in rules.signals.values())
    with duckdb.connect() as connection:
        connection.execute(
            f"""CREATE TEMP TABLE log AS
                SELECT user_id, event, revenue, epoch_us(event_time) AS t, epoch_us(arrived_at) AS arrived
                FROM read_parquet('{world.folder}/data/demo/events/*.parquet')
                WHERE user_id NOT LIKE 'test-%' AND ({any_signal})
                QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY event_time) = 1"""
        )
        return pl.concat([pl.DataFrame(connection.sql(part).to_arrow_table()) for part in parts])


def by_fold(world: World, cutoffs: Instants) -> pl.DataFrame:
    """The fold, from the same files; it also yields some ninety columns more."""
    events = EventLog(world.definition).read()
    return pl.concat(feature_rows(events, read_all_at(events, cutoffs), world.definition))


def cost(world: World, snapshots: int = 26) -> pl.DataFrame:
    """Time both, end to end, and check that they say the same."""
    ends = EventLog(world.definition).ends
    cutoffs = schedule(newest=ends - 14 * DAY, stride=7 * DAY, count=snapshots, spread=True)
    by_fold(world, cutoffs[-1:])  # compiles
    began = perf_counter()
    ours = by_fold(world, cutoffs)
    folded = perf_counter() - began
    began = perf_counter()
    theirs = by_duckdb(world, cutoffs)
    aggregated = perf_counter() - began
    names = compared_columns(world)
    keys = ["user", "cutoff"]
    left = ours.select(*keys, *names).sort(keys)
    right = theirs.with_columns(pl.col("cutoff").cast(INSTANT)).select(*keys, *names).sort(keys)
    if not left.select(keys).equals(right.select(keys)):
        raise ValueError(f"the fold yields {len(left):,} rows, DuckDB {len(right):,}")
    apart = (left.select(names).cast(pl.Float64) - right.select(names).cast(pl.Float64)).to_numpy()
    worst = float(np.nanmax(np.abs(apart)))
    return pl.DataFrame(
        {
            "snapshots": [snapshots],
            "rows": [len(left)],
            "columns_compared": [len(names)],
            "largest_difference": [worst],
            "fold_s": [folded],
            "duckdb_s": [aggregated],
            "times_faster": [aggregated / folded],
        }
    )
