"""Tables of what a definition makes of a log, before anything is trained."""

from dataclasses import asdict, dataclass, replace

import polars as pl
from rich.console import RenderableType
from rich.markup import escape

from features.definition.columns import feature_set
from features.definition.learning import Snapshots as SnapshotRules
from features.definition.outcome import Outcome
from features.engines.times import is_number
from features.event_store.store import EventStore
from features.event_store.warnings import warnings_of
from features.events.events import Events
from features.reading.source import Survey
from features.rows import expression
from features.snapshot import Snapshots
from features.system.progress import Steps
from features.time import DAY, span_name, to_datetime
from propensity.console import table
from propensity.doubts import like_ids, names_of_events, silent_signals, tied_in_frequency
from propensity.learning import plan
from propensity.packs import left_out
from segments.rfm_cuts import measured
from training.dataset.base_rate import one_sided
from training.dataset.outcomes import label, last_cutoff, snapshot_cutoffs
from training.dataset.returns import Returns

#: weeks that are shown of an outcome unless all are asked for
WEEKS = 6


@dataclass(frozen=True)
class Preview:
    """What a definition makes of a log.

    Attributes:
        problems: why an outcome cannot be learnt.
        warnings: what deserves a look.
        shown: the tables.
        content: the same for machines.
        learnable: whether any outcome can be learnt.
    """

    problems: list[str]
    warnings: list[str]
    shown: list[RenderableType]
    content: dict[str, object]
    learnable: bool

    @property
    def page(self) -> list[RenderableType]:
        """What is wrong, then the tables, then the verdict."""
        first = [f"[bold red]problem[/] {escape(said)}" for said in self.problems]
        first += [f"[bold yellow]warning[/] {escape(said)}" for said in self.warnings]
        return [*first, *self.shown, f"[bold]{escape(self.verdict)}[/]"]

    @property
    def verdict(self) -> str:
        """In one line, whether one can go on."""
        if not self.learnable:
            return "Verdict: nothing can be learnt of this log yet; see the problems above."
        if self.problems or self.warnings:
            found = len(self.problems) + len(self.warnings)
            return f"Verdict: it can be trained; look at what is said above first ({found})."
        return "Verdict: it can be trained."


def preview(store: EventStore, steps: Steps, *, weeks_shown: int | None = WEEKS) -> Preview:
    """Look at what was dropped of the log and why, the signals, and each outcome's population and base rate.

    Args:
        store: the log, taken in.
        steps: told of each step.
        weeks_shown: how many weeks of each outcome; all when None.
    """
    definition, log = store.log.definition, store.log
    cutoffs, counts = snapshot_cutoffs(definition, store), store.counts
    snapshots = Snapshots(definition.model_copy(update={"snapshots": SnapshotRules()}), cutoffs)

    silences = [list(definition.signals).index(rule.signal) for rule in definition.outcomes.values() if rule.will_not]

    def look(events: Events) -> tuple[pl.DataFrame, pl.DataFrame, dict[int, Returns], pl.Series, list[pl.DataFrame]]:
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
        back = {i: Returns.of(events, i) for i in silences}
        return sizes, pl.concat(weeks), back, events.users, list(measured(events, definition, int(cutoffs[-1])))

    returns: dict[int, Returns] = {}
    sizes, weeks = pl.DataFrame({"events": [0] * len(definition.signals), "users": 0}), []
    everybody: list[pl.Series] = []
    scored: list[pl.DataFrame] = []
    with steps(f"features at {len(cutoffs)} cutoffs", len(store.buckets)) as advance:
        for fired, per, back, users, rfm in store.map(look):
            scored += rfm
            everybody.append(users)
            sizes = sizes + fired
            weeks.append(per)
            returns = {i: returns[i] + found if returns else found for i, found in back.items()}
            advance(1)
    every = pl.concat(weeks).group_by("outcome", "cutoff").sum().sort("cutoff")
    lost = pl.DataFrame({"what": [*counts, "kept"], "rows": [*counts.values(), store.kept]})
    names = pl.DataFrame({"signal": list(definition.signals)})
    where = pl.DataFrame({"where": [rule.where for rule in definition.signals.values()]})
    with steps("the names of events"):
        survey = log.survey()
    warnings = [*warnings_of(store), *silent_signals(definition, sizes["events"].to_list(), survey)]
    warnings += like_ids(pl.concat(everybody))
    warnings += tied_in_frequency(definition, scored)
    shown: list[RenderableType] = [
        f"[bold]{definition.version}[/]: {len(feature_set(definition).numeric)} features, "
        f"times {_zone(store, survey)}, log complete through {to_datetime(store.ends):%Y-%m-%d %H:%M}",
        table("The event log", lost),
        table("Names of events", names_of_events(survey)),
        table("Signals", pl.concat([names, sizes, where], how="horizontal")),
        *left_out(definition),
    ]
    problems, outcomes, learning = [], dict[str, object](), dict[str, object]()
    for name, rule in definition.asked.items():
        title = f"{name}: {rule.question}, among {rule.among}"
        per = every.filter(pl.col("outcome") == name)
        if per.is_empty():
            problems.append(f"{title}: nobody is eligible at a matured cutoff")
            continue
        planned = plan(per, rule, definition.training)
        per = per.select(
            pl.col("cutoff").dt.to_string("%Y-%m-%d").alias("week of"), "eligible", "positives",
            (pl.col("total") / pl.col("eligible")).alias("base_rate" if isinstance(rule, Outcome) else "mean"),
        )  # fmt: skip
        outcomes[name] = per.to_dicts()
        learning[name] = {"slices": [asdict(part) for part in planned.slices], "said": planned.said}
        if planned.problem is not None:
            problems.append(f"{title}: {planned.problem}")
        some = per if weeks_shown is None else per.tail(weeks_shown)
        cut = f" (the last {len(some)} of {len(per)} weeks; --verbose shows all)" if len(some) < len(per) else ""
        shown.append(table(f"{title}; each answer is known {span_name(rule.reach)} later{cut}", some))
        shown.append(table(f"{name}: what a training learns from; {planned.said}", pl.DataFrame(planned.slices)))
        if isinstance(rule, Outcome) and (said := one_sided(per)):
            warnings.append(f"{name}: {said}; there is little to tell users apart by. Change 'within' or 'among'.")
        if isinstance(rule, Outcome) and rule.will_not:
            shown += _silences(rule, returns[list(definition.signals).index(rule.signal)])
    content: dict[str, object] = {
        "definition": definition.version, "complete_through": to_datetime(store.ends).isoformat(),
        "rows": {**counts, "kept": store.kept}, "events": survey.events,
        "signals": {n: {"events": e, "users": u} for n, (e, u) in zip(definition.signals, sizes.rows(), strict=True)},
        "outcomes": outcomes, "learning": learning, "problems": problems, "warnings": warnings,
    }  # fmt: skip
    found = Preview(problems, warnings, shown, content, learnable=bool(outcomes))
    return replace(found, content=content | {"verdict": found.verdict})


def _zone(store: EventStore, survey: Survey) -> str:
    """How the log's times say their zone."""
    log, rows = store.log, sum(survey.events.values())
    if survey.zoned == rows and rows:
        return "with their offset, converted to UTC"
    if survey.zoned:
        return f"with their offset in {survey.zoned:,} of {rows:,} rows, the others taken as UTC"
    unit = store.log.definition.events.time_unit
    if unit is not None and is_number(log.columns[log.definition.events.columns.time]):
        return f"as numbers ({unit} since 1970)"
    return "without a zone, taken as UTC" if log.naive_times else "with a zone, converted to UTC"


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
