"""What features cost: the fold beside the ways features are usually computed, each shown to yield the same columns."""

from collections.abc import Callable
from time import perf_counter

import duckdb
import numpy as np
import pandas as pd
import polars as pl

from benchmarks.world import Log
from features.definition.schema import Definition
from features.event_store.store import EventStore
from features.profile.fold import feature_rows, read_all_at
from features.reading.source import EventLog
from features.rows import INSTANT
from features.settings import Settings
from features.time import DAY, Instants, schedule, span_name

KEYS = ["user", "cutoff"]


def compared_columns(definition: Definition) -> list[str]:
    """Columns all sides yield: counts and active days by window, totals and recency of every signal."""
    names = []
    for signal in definition.signals:
        for w in days_of(definition):
            names += [f"{signal}_count_{span_name(w)}", f"{signal}_active_days_{span_name(w)}"]
        names += [f"{signal}_count_total", f"days_since_{signal}"]
    return names


def days_of(definition: Definition) -> list[int]:
    """Windows of a day or more."""
    return [w for w in definition.windows if w >= DAY]


def weekly(log: Log, snapshots: int) -> Instants:
    """Weekly cutoffs, the newest a fortnight before the log's end."""
    ends = EventLog(log.definition).ends
    return schedule(newest=ends - 14 * DAY, stride=7 * DAY, count=snapshots, spread=True)


def clean_log(log: Log, connection: duckdb.DuckDBPyConnection) -> None:
    """A table ``log`` of the log's rows as the definition means them: what every side but ours starts from."""
    fired = ", ".join(f"({rule.where}) AS is_{name}" for name, rule in log.definition.signals.items())
    connection.execute(
        f"""CREATE TEMP TABLE log AS
            SELECT user_id AS user, epoch_us(event_time) AS t, epoch_us(arrived_at) AS arrived, {fired}
            FROM read_parquet('{log.folder}/data/demo/events/*.parquet') WHERE user_id NOT LIKE 'test-%'
            QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY event_time) = 1"""
    )


def by_duckdb(log: Log, cutoffs: Instants) -> pl.DataFrame:
    """One grouped query a cutoff, each column a filtered aggregate: how it is usually written."""
    parts, names = [], list(log.definition.signals)
    for c in cutoffs.tolist():
        columns = []
        for s in names:
            for w in days_of(log.definition):
                inside = f"FILTER (is_{s} AND t >= {(c - w) // DAY * DAY})"
                columns += [f"count(*) {inside} AS {s}_count_{span_name(w)}",
                            f"count(DISTINCT t // {DAY}) {inside} AS {s}_active_days_{span_name(w)}"]  # fmt: skip
            columns += [f"count(*) FILTER (is_{s}) AS {s}_count_total",
                        f"({c} - max(t) FILTER (is_{s})) / {DAY} AS days_since_{s}"]  # fmt: skip
        fired = " OR ".join(f"is_{s}" for s in names)
        parts.append(
            f"SELECT user, {c}::BIGINT AS cutoff, {', '.join(columns)} FROM log "
            f"WHERE t < {c} AND arrived <= {c} AND ({fired}) GROUP BY 1"
        )
    with duckdb.connect() as connection:
        clean_log(log, connection)
        return pl.concat([pl.DataFrame(connection.sql(part).to_arrow_table()) for part in parts])


def by_polars(log: Log, cutoffs: Instants) -> pl.DataFrame:
    """A group-by a cutoff, each column a filtered expression."""
    with duckdb.connect() as connection:
        clean_log(log, connection)
        rows = pl.DataFrame(connection.sql("SELECT * FROM log").to_arrow_table())
    t, parts, names = pl.col("t"), [], list(log.definition.signals)
    for c in cutoffs.tolist():
        columns: list[pl.Expr] = []
        for s in names:
            for w in days_of(log.definition):
                inside = pl.col(f"is_{s}") & (t >= (c - w) // DAY * DAY)
                columns += [inside.sum().alias(f"{s}_count_{span_name(w)}"),
                            (t // DAY).filter(inside).n_unique().alias(f"{s}_active_days_{span_name(w)}")]  # fmt: skip
            columns += [pl.col(f"is_{s}").sum().alias(f"{s}_count_total"),
                        ((c - t.filter(pl.col(f"is_{s}")).max()) / DAY).alias(f"days_since_{s}")]  # fmt: skip
        seen = (t < c) & (pl.col("arrived") <= c) & pl.any_horizontal(f"is_{s}" for s in names)
        parts.append(rows.lazy().filter(seen).group_by("user").agg(columns).with_columns(cutoff=pl.lit(c)).collect())
    return pl.concat(parts)


def by_pandas(log: Log, cutoffs: Instants) -> pl.DataFrame:
    """A group-by a cutoff, signal and window, joined on the user."""
    with duckdb.connect() as connection:
        clean_log(log, connection)
        rows = connection.sql("SELECT * FROM log").df()
    parts = []
    for c in cutoffs.tolist():
        seen = rows[(rows["t"] < c) & (rows["arrived"] <= c)]
        columns = {}
        for s in log.definition.signals:
            mine = seen[seen[f"is_{s}"]]
            for w in days_of(log.definition):
                inside = mine[mine["t"] >= (c - w) // DAY * DAY]
                columns[f"{s}_count_{span_name(w)}"] = inside.groupby("user").size()
                columns[f"{s}_active_days_{span_name(w)}"] = (inside["t"] // DAY).groupby(inside["user"]).nunique()
            columns[f"{s}_count_total"] = mine.groupby("user").size()
            columns[f"days_since_{s}"] = (c - mine.groupby("user")["t"].max()) / DAY
        wide = pd.DataFrame(columns).rename_axis("user").reset_index()
        counts = [name for name in wide if "days_since" not in name and name != "user"]
        wide[counts] = wide[counts].fillna(0)
        parts.append(wide.assign(cutoff=c))
    return pl.from_pandas(pd.concat(parts))


def by_featuretools(log: Log, cutoffs: Instants) -> pl.DataFrame:
    """Deep feature synthesis with cutoff times, a run a signal and window; counts, which it can restrict in time."""
    import featuretools as ft

    with duckdb.connect() as connection:
        clean_log(log, connection)
        rows = connection.sql("SELECT * FROM log").df()
    rows["time"] = pd.to_datetime(rows["t"], unit="us")
    answer = None
    for s in log.definition.signals:
        mine = rows[rows[f"is_{s}"]].reset_index(drop=True)[["user", "time"]]
        entities = ft.EntitySet("log")
        users = pd.DataFrame({"user": mine["user"].unique()})
        entities.add_dataframe(dataframe_name="users", dataframe=users, index="user")
        entities.add_dataframe(
            dataframe_name="events", dataframe=mine.assign(id=range(len(mine))), index="id", time_index="time"
        )
        entities.add_relationship("users", "user", "events", "user")
        asked = pd.DataFrame(
            [(u, pd.Timestamp(c, unit="us")) for c in cutoffs.tolist() for u in entities["users"]["user"]],
            columns=["user", "time"],
        )
        for w in days_of(log.definition):
            found, _ = ft.dfs(
                entityset=entities, target_dataframe_name="users", agg_primitives=["count"], trans_primitives=[],
                cutoff_time=asked, training_window=f"{w // DAY} days", include_cutoff_time=False,
                cutoff_time_in_index=True,
            )  # fmt: skip
            named = found.rename(columns={"COUNT(events)": f"{s}_count_{span_name(w)}"}).reset_index()
            part = pl.from_pandas(named).with_columns(
                cutoff=pl.col("time").dt.epoch("us"), user=pl.col("user").cast(pl.String)
            )
            part = part.drop("time")
            answer = part if answer is None else answer.join(part, on=KEYS, how="full", coalesce=True)
    return pl.DataFrame() if answer is None else answer


def by_fold(log: Log, cutoffs: Instants) -> pl.DataFrame:
    """The fold, from the same files and with nothing kept from before; it also yields some eighty columns more."""
    with log.fresh_home() as home:
        store = EventStore.open(EventLog(log.definition), Settings(home=home))
        return pl.concat(store.map(lambda e: pl.concat(feature_rows(e, read_all_at(e, cutoffs), log.definition))))


def kept_store_s(log: Log, cutoffs: Instants, runs: int) -> float:
    """The median time of the fold from an event store that is kept from before, in seconds."""
    with log.fresh_home() as home:
        settings = Settings(home=home)
        EventStore.open(EventLog(log.definition), settings)
        taken = []
        for _ in range(runs):
            began = perf_counter()
            store = EventStore.open(EventLog(log.definition), settings)
            pl.concat(store.map(lambda e: pl.concat(feature_rows(e, read_all_at(e, cutoffs), log.definition))))
            taken.append(perf_counter() - began)
    return float(np.median(taken))


def compare(
    log: Log, name: str, theirs: Callable[[Log, Instants], pl.DataFrame], cutoffs: Instants, runs: int = 1
) -> dict[str, object]:
    """Time another way and the fold, end to end from the same Parquet files, and see that they say the same.

    Args:
        log: the log.
        name: of the other way.
        theirs: makes the compared columns.
        cutoffs: at these instants.
        runs: of both, by turns; the medians count.

    Raises:
        ValueError: they do not say the same.
    """
    by_fold(log, cutoffs[-1:])  # compiles
    ours, other, ours_s, others_s = pl.DataFrame(), pl.DataFrame(), [], []
    for _ in range(runs):
        began = perf_counter()
        ours = by_fold(log, cutoffs)
        ours_s.append(perf_counter() - began)
        began = perf_counter()
        other = theirs(log, cutoffs)
        others_s.append(perf_counter() - began)
    folded, taken = float(np.median(ours_s)), float(np.median(others_s))
    names = [n for n in compared_columns(log.definition) if n in other.columns]
    right = other.with_columns(pl.col("cutoff").cast(INSTANT)).select(*KEYS, *names)
    both = ours.select(*KEYS, *names).join(right, on=KEYS, how="left", suffix="_other")
    if len(names) == len(compared_columns(log.definition)) and len(ours) != len(other):
        raise ValueError(f"the fold yields {len(ours):,} rows, {name} {len(other):,}")
    left = both.select(names).cast(pl.Float64).fill_nan(None).to_numpy()
    there = both.select(pl.col(f"{n}_other").cast(pl.Float64).fill_nan(None).alias(n) for n in names).to_numpy()
    counts = np.array(["days_since" not in n for n in names])
    there[:, counts] = np.nan_to_num(there[:, counts])  # no event in a window is 0, however it is written
    worst = float(np.nanmax(np.abs(left - there)))
    if worst > 1e-6 or not np.array_equal(np.isnan(left), np.isnan(there)):
        raise ValueError(f"{name} and the fold differ by {worst}")
    return {
        "beside": name, "events": log.events, "snapshots": len(cutoffs), "rows": len(ours), "columns": len(names),
        "largest_difference": worst, "fold_s": folded, "other_s": taken, "times_faster": taken / folded,
    }  # fmt: skip
