"""Tables of what a definition makes of a log, before anything is trained."""

import polars as pl
from rich.console import RenderableType

from features.definition import schema
from features.definition.columns import feature_set
from features.log.events import Events
from features.log.store import EventStore
from features.progress import Steps
from features.rows import expression
from features.snapshot import Snapshots
from features.time import span_name, to_datetime
from propensity.console import table
from training.outcomes import label, last_cutoff, snapshot_cutoffs


def preview(store: EventStore, steps: Steps) -> list[RenderableType]:
    """Show what was dropped of the log and why, the signals, and each outcome's population and base rate."""
    definition, log = store.log.definition, store.log
    cutoffs, counts = snapshot_cutoffs(definition, store), store.counts
    snapshots = Snapshots(definition.model_copy(update={"snapshots": schema.Snapshots()}), cutoffs)

    def look(events: Events) -> tuple[pl.DataFrame, pl.DataFrame]:
        fired = [events.of_signal(i)["user"] for i in range(len(definition.signals))]
        sizes = pl.DataFrame({"events": [len(f) for f in fired], "users": [f.n_unique() for f in fired]})
        weeks = []
        for frame in snapshots.of(events):
            for name, rule in definition.outcomes.items():
                newest = to_datetime(last_cutoff(definition, name, events.ends))
                asked = frame.filter(expression(rule.among).fill_null(False) & (pl.col("cutoff") <= newest))
                answer = asked.select("user", "cutoff").with_columns(label(events, asked, definition, name))
                per = answer.group_by("cutoff").agg(
                    pl.len().alias("eligible"), pl.col("label").sum().alias("positives")
                )
                weeks.append(per.with_columns(pl.lit(name).alias("outcome"), pl.col("positives").cast(pl.Int64)))
        return sizes, pl.concat(weeks)

    sizes, weeks = pl.DataFrame({"events": [0] * len(definition.signals), "users": 0}), []
    with steps(f"features at {len(cutoffs)} cutoffs", len(store.buckets)) as advance:
        for fired, per in store.map(look):
            sizes = sizes + fired
            weeks.append(per)
            advance(1)
    every = pl.concat(weeks).group_by("outcome", "cutoff").sum().sort("cutoff")
    lost = pl.DataFrame({"what": [*counts, "kept"], "rows": [*counts.values(), store.kept]})
    names = pl.DataFrame({"signal": list(definition.signals)})
    where = pl.DataFrame({"where": [rule.where for rule in definition.signals.values()]})
    naive = "without a zone, taken as UTC" if log.naive_times else "with a zone, converted to UTC"
    shown: list[RenderableType] = [
        f"[bold]{definition.version}[/]: {len(feature_set(definition).numeric)} features, times {naive}, "
        f"log complete through {to_datetime(store.ends):%Y-%m-%d %H:%M}",
        table("The event log", lost),
        table("Signals", pl.concat([names, sizes, where], how="horizontal")),
    ]
    for name, rule in definition.outcomes.items():
        title = f"{name}: {rule.question}, among {rule.among}"
        per = every.filter(pl.col("outcome") == name)
        if per.is_empty():
            shown.append(f"[bold red]{title}[/]: nobody is eligible at a matured cutoff")
            continue
        per = per.select(
            pl.col("cutoff").dt.to_string("%Y-%m-%d").alias("week of"), "eligible", "positives",
            (pl.col("positives") / pl.col("eligible")).alias("base_rate"),
        )  # fmt: skip
        shown.append(table(f"{title}; known {span_name(rule.reach)} after a cutoff", per))
    return shown
