"""Tables of what a definition makes of a log, before anything is trained."""

import polars as pl
from rich.console import RenderableType

from features.definition.columns import feature_set
from features.definition.learning import Snapshots as SnapshotRules
from features.definition.outcome import Outcome
from features.log.events import Events
from features.log.store import EventStore
from features.progress import Steps
from features.rows import expression
from features.snapshot import Snapshots
from features.time import DAY, span_name, to_datetime
from propensity.console import table
from propensity.packs import left_out
from training.base_rate import one_sided
from training.outcomes import label, last_cutoff, snapshot_cutoffs
from training.returns import Returns


def preview(store: EventStore, steps: Steps) -> list[RenderableType]:
    """Show what was dropped of the log and why, the signals, and each outcome's population and base rate."""
    definition, log = store.log.definition, store.log
    cutoffs, counts = snapshot_cutoffs(definition, store), store.counts
    snapshots = Snapshots(definition.model_copy(update={"snapshots": SnapshotRules()}), cutoffs)

    silences = [list(definition.signals).index(rule.signal) for rule in definition.outcomes.values() if rule.will_not]

    def look(events: Events) -> tuple[pl.DataFrame, pl.DataFrame, dict[int, Returns]]:
        fired = [events.of_signal(i)["user"] for i in range(len(definition.signals))]
        sizes = pl.DataFrame({"events": [len(f) for f in fired], "users": [f.n_unique() for f in fired]})
        weeks = []
        for frame in snapshots.of(events):
            for name, rule in definition.asked.items():
                newest = to_datetime(last_cutoff(definition, name, events.ends))
                asked = frame.filter(expression(rule.among).fill_null(False) & (pl.col("cutoff") <= newest))
                answer = asked.select("user", "cutoff").with_columns(label(events, asked, definition, name))
                amount = pl.col("label")
                per = answer.group_by("cutoff").agg(
                    pl.len().alias("eligible"), (amount > 0).sum().alias("positives").cast(pl.Int64),
                    amount.sum().cast(pl.Float64).alias("total"),
                )  # fmt: skip
                weeks.append(per.with_columns(pl.lit(name).alias("outcome")))
        return sizes, pl.concat(weeks), {i: Returns.of(events, i) for i in silences}

    returns: dict[int, Returns] = {}
    sizes, weeks = pl.DataFrame({"events": [0] * len(definition.signals), "users": 0}), []
    with steps(f"features at {len(cutoffs)} cutoffs", len(store.buckets)) as advance:
        for fired, per, back in store.map(look):
            sizes = sizes + fired
            weeks.append(per)
            returns = {i: returns[i] + found if returns else found for i, found in back.items()}
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
        *left_out(definition),
    ]
    for name, rule in definition.asked.items():
        title = f"{name}: {rule.question}, among {rule.among}"
        per = every.filter(pl.col("outcome") == name)
        if per.is_empty():
            shown.append(f"[bold red]{title}[/]: nobody is eligible at a matured cutoff")
            continue
        per = per.select(
            pl.col("cutoff").dt.to_string("%Y-%m-%d").alias("week of"), "eligible", "positives",
            (pl.col("total") / pl.col("eligible")).alias("base_rate" if isinstance(rule, Outcome) else "mean"),
        )  # fmt: skip
        shown.append(table(f"{title}; known {span_name(rule.reach)} after a cutoff", per))
        if isinstance(rule, Outcome) and (said := one_sided(per)):
            shown.append(
                f"[yellow]![/] {name}: {said}; there is little to tell users apart by. Change 'within' or 'among'."
            )
        if isinstance(rule, Outcome) and rule.will_not:
            shown += _silences(rule, returns[list(definition.signals).index(rule.signal)])
    return shown


def _silences(rule: Outcome, returns: Returns) -> list[RenderableType]:
    """The return curve of a signal, how final the outcome's horizon is, and which one would be."""
    curve = returns.table()
    bars = pl.Series("", ["█" * round(30 * share) for share in curve["not_back_yet"]])
    days = -(-rule.within // DAY)
    back, rhythm = returns.resurrection(days, days), returns.rhythm()
    said = "the log does not tell how many come back" if back is None else f"{back:.0%} come back in as long again"
    short = ""
    if rhythm is not None and rule.within < rhythm * DAY:
        short = (
            f" [yellow]![/] The middle gap between two active days is {rhythm} days, longer than "
            f"{span_name(rule.within)}: users who are only between two visits count as gone. Lengthen 'within'."
        )
    return [
        table(f"How long silences of {rule.signal} last (Kaplan-Meier)", curve.insert_column(2, bars)),
        f"Of those silent for {span_name(rule.within)}, {said} (resurrection rate). {returns.advice()}{short}",
    ]
