"""Tables of what a definition makes of a log, before anything is trained."""

import polars as pl
from rich.console import RenderableType

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.fold import feature_rows, read_all_at
from features.log.source import EventLog
from features.progress import Steps
from features.snapshot import population
from features.time import span_name, to_datetime
from propensity.console import table
from training.outcomes import label, last_cutoff, snapshot_cutoffs


def preview(definition: Definition, steps: Steps, ends: int | None) -> list[RenderableType]:
    """Read the log and show what was dropped and why, the signals, and each outcome's population and base rate."""
    with steps("read the event log"):
        log = EventLog(definition, ends=ends)
        events = log.read()
    cutoffs = snapshot_cutoffs(definition, events)
    frames = []
    with steps(f"features at {len(cutoffs)} cutoffs", len(events.users)) as advance:
        for frame in feature_rows(events, read_all_at(events, cutoffs), definition):
            frames.append(frame.filter(population(definition)))
            advance(frame["user"].n_unique())
    rows = pl.concat(frames)
    kept = len(events.t)
    counts = pl.DataFrame({"what": [*events.counts, "kept"], "rows": [*events.counts.values(), kept]})
    signals = pl.DataFrame(
        [
            {"signal": name, "events": len(fired), "users": fired["user"].n_unique(), "where": rule.where}
            for i, (name, rule) in enumerate(definition.signals.items())
            for fired in (events.of_signal(i),)
        ]
    )
    naive = "without a zone, taken as UTC" if log.naive_times else "with a zone, converted to UTC"
    shown: list[RenderableType] = [
        f"[bold]{definition.version}[/]: {len(feature_set(definition).numeric)} features, times {naive}, "
        f"log complete through {to_datetime(events.ends):%Y-%m-%d %H:%M}",
        table("The event log", counts),
        table("Signals", signals),
    ]
    for name, rule in definition.outcomes.items():
        newest = to_datetime(last_cutoff(definition, name, events.ends))
        eligible = rows.filter(pl.sql_expr(rule.among) & (pl.col("cutoff") <= newest)).select("user", "cutoff")
        title = f"{name}: {rule.question}, among {rule.among}"
        if eligible.is_empty():
            shown.append(f"[bold red]{title}[/]: nobody is eligible at a matured cutoff")
            continue
        labelled = eligible.with_columns(label(events, eligible, definition, name))
        week = pl.col("cutoff").dt.to_string("%Y-%m-%d").alias("week of")
        per = labelled.group_by(week).agg(
            pl.len().alias("eligible"),
            pl.col("label").sum().alias("positives"),
            pl.col("label").mean().alias("base_rate"),
        )
        shown.append(table(f"{title}; known {span_name(rule.reach)} after a cutoff", per.sort("week of")))
    return shown
