"""Tables of what was checked, trained and scored."""

import polars as pl
from rich.console import RenderableType

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.events import EventLog
from features.fold import feature_rows, read_all_at
from features.snapshot import population
from features.time import span_name, to_datetime
from propensity.console import states_by_tier, table
from serving.batch import BatchResult
from serving.card import Measure
from serving.scorer import question
from training.job import Result, Steps, snapshot_cutoffs
from training.outcomes import label, last_cutoff


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
    naive = "naive, taken as UTC" if log.naive_times else "with time zone, converted to UTC"
    shown: list[RenderableType] = [
        f"[bold]{definition.version}[/]: {len(feature_set(definition).numeric)} features, times {naive}, "
        f"log complete through {to_datetime(events.ends):%Y-%m-%d %H:%M}",
        table("The event log", counts),
        table("Signals", signals),
    ]
    for name, rule in definition.outcomes.items():
        newest = to_datetime(last_cutoff(definition, name, events.ends))
        eligible = rows.filter(pl.sql_expr(rule.among) & (pl.col("cutoff") <= newest)).select("user", "cutoff")
        title = f"{name}: {question(definition, name)}, among {rule.among}"
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


def results(results: list[Result]) -> list[RenderableType]:
    """Show each outcome's model beside its best floor, and the refusals."""
    columns: dict[str, list[str]] = {}
    refused = []
    for result in results:
        if result.refusal is not None:
            refused.append(f"[bold red]{result.outcome} refused[/] {result.refusal}")
        if result.card is None or result.version is None:
            continue
        m, test, floors = result.card.metrics, result.card.slices["test"], result.card.floors
        best, floor = max(floors.items(), key=lambda item: item[1]["average_precision"].value)
        columns[result.version] = [
            f"{test['rows']:,}",
            f"{int(test['positives']) / int(test['rows']):.1%}",
            _interval(m["average_precision"]),
            _interval(m["auc"]),
            f"{m['lift_at_10'].value:.2f}",
            f"{m['calibration_error'].value:.4f}",
            f"{m['observed_over_expected'].value:.3f}",
            f"{best}: AP {floor['average_precision'].value:.3f}, AUC {floor['auc'].value:.3f}",
            _interval(floor["average_precision_behind"], "+"),
        ]
    names = ["test rows", "base rate", "AP", "AUC", "lift@10 %", "calibration error", "observed/expected", "best floor",
             "AP ahead of it"]  # fmt: skip
    if not columns:
        return list(refused)
    return [table("Models, judged on the newest matured users", pl.DataFrame({"": names, **columns})), *refused]


def _interval(measure: Measure, sign: str = "") -> str:
    if measure.low is None or measure.high is None:
        return f"{measure.value:{sign}.3f}"
    return f"{measure.value:{sign}.3f} ({measure.low:{sign}.3f} to {measure.high:{sign}.3f})"


def batch(result: BatchResult, definition: Definition) -> list[RenderableType]:
    """Show how many users sit in each state and tier, and in each segment."""
    order = list(definition.states)
    grids: list[RenderableType] = [
        table(f"{name}: {question(definition, name)}", states_by_tier(result.states, name, order))
        for name in definition.outcomes
    ]
    return [*grids, table("Segments", result.segments), f"{result.users:,} records in {result.path}"]
