"""The page of `propensity check`: what is wrong first, then tables, then a verdict."""

from dataclasses import asdict, dataclass, replace

import polars as pl
from rich.console import RenderableType
from rich.markup import escape

from features.definition.columns import feature_set
from features.engines.rows import LATE
from features.engines.times import is_number
from features.event_store.stored_events import StoredEvents
from features.event_store.warnings import warnings_of
from features.reading.left_out import LeftOut
from features.reading.look import Look
from features.reading.survey import Survey
from features.system.progress import Steps
from features.time import to_datetime
from propensity.console import table
from propensity.preview.counts import Counts, count
from propensity.preview.identities import people, shown_people, unmerged
from propensity.preview.outcomes import OutcomePreview, outcome_preview
from propensity.preview.warnings import (
    asking,
    busy_user,
    days_without,
    like_ids,
    local_days,
    mixed_currencies,
    names_of_events,
    near_misses,
    silent_signals,
    tied_in_frequency,
)
from propensity.tables.packs import left_out

#: weeks that are shown of an outcome unless all are requested
WEEKS = 6

#: columns of the table of rows that are left out
EXAMPLE = dict.fromkeys(("left out", "user", "event", "time", "file"), pl.String)


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
        first = [f"[bold red]problem[/] {escape(text)}" for text in self.problems]
        first += [f"[bold yellow]warning[/] {escape(text)}" for text in self.warnings]
        return [*first, *self.shown, f"[bold]{escape(self.verdict)}[/]"]

    @property
    def verdict(self) -> str:
        """In one line, whether one can go on."""
        if not self.learnable:
            return "Verdict: nothing can be learnt of this log yet; see the problems above."
        if self.problems or self.warnings:
            found = len(self.problems) + len(self.warnings)
            return f"Verdict: it can be trained; look at the lines above first ({found})."
        return "Verdict: it can be trained."


def preview(store: StoredEvents, look: Look, steps: Steps, *, weeks_shown: int | None = WEEKS) -> Preview:
    """Look at what was dropped of the log and why, the signals, and each outcome's population and base rate.

    Args:
        store: the log, taken in.
        look: looks at its rows where they lie.
        steps: shows each step.
        weeks_shown: how many weeks of each outcome; all when None.
    """
    definition = store.log.definition
    counts = count(store, steps)
    with steps("the names of events"):
        survey = look.survey()
    with steps("examples of rows left out"):
        counted = {file.path: file.counts for file in store.manifest.files}
        left = look.left_out(counted, store.counts[LATE])
    outcomes = _outcomes(store, counts, weeks_shown)
    problems = [found.problem for found in outcomes.values() if found.problem is not None]
    if counts.short is not None:  # which explains that nobody is there
        problems = [counts.short]
    warnings = [
        *warnings_of(store), *silent_signals(definition, counts.signals["events"].to_list(), survey),
        *near_misses(definition, survey), *days_without(survey, store.ends),
        *local_days(definition, naive=_naive(look, survey)), *mixed_currencies(look),
        *unmerged(look),
        *busy_user(definition, survey, counts.users), *like_ids(counts.users),
        *tied_in_frequency(definition, counts.rfm),
        *(warning for found in outcomes.values() for warning in found.warnings),
    ]  # fmt: skip
    shown = [
        *_tables(store, look, survey, counts, left),
        *(part for found in outcomes.values() for part in found.shown),
    ]
    content = _content(store, survey, counts, left, outcomes) | {"problems": problems, "warnings": warnings}
    learnable = any(found.weeks is not None for found in outcomes.values())
    preview = Preview(problems, warnings, shown, content, learnable=learnable)
    return replace(preview, content=content | {"verdict": preview.verdict})


def _outcomes(store: StoredEvents, counts: Counts, weeks_shown: int | None) -> dict[str, OutcomePreview]:
    definition = store.log.definition
    index = {signal: i for i, signal in enumerate(definition.signals)}
    found = {}
    for name, rule in definition.outcomes.items():
        weeks = counts.weeks.filter(pl.col("outcome") == name)
        silent = definition.likelihoods[name].will_not if name in definition.likelihoods else None
        returns = counts.returns[index[rule.signal]] if silent else None
        found[name] = outcome_preview(name, rule, weeks, returns, definition.training, weeks_shown=weeks_shown)
    return found


def _tables(
    store: StoredEvents, look: Look, survey: Survey, counts: Counts, left: dict[str, list[LeftOut]]
) -> list[RenderableType]:
    """The log's rows, names of events and signals, and the entries of packs that cannot apply."""
    definition, lost = store.log.definition, store.counts
    rows = pl.DataFrame({"what": [*lost, "kept"], "rows": [*lost.values(), store.kept]})
    names = pl.DataFrame({"signal": list(definition.signals)})
    where = pl.DataFrame({"where": [rule.where for rule in definition.signals.values()]})
    return [
        f"[bold]{definition.version}[/]: {len(feature_set(definition).numeric)} features, "
        f"times {_zone(look, survey)}, days of {definition.timezone}, log complete through "
        f"{to_datetime(store.ends):%Y-%m-%d %H:%M} UTC",
        table("The event log", rows),
        *_examples(left),
        *shown_people(people(store)),
        table("Names of events", names_of_events(definition, survey)),
        table("Signals", pl.concat([names, counts.signals, where], how="horizontal")),
        *left_out(definition),
    ]


def _examples(left: dict[str, list[LeftOut]]) -> list[RenderableType]:
    """A table of a few rows of each reason for which rows are left out."""
    rows = [{"left out": reason, **asdict(row)} for reason, some in left.items() for row in some]
    return [table("Some of the rows left out", pl.DataFrame(rows, schema=EXAMPLE))] if rows else []


def _content(
    store: StoredEvents, survey: Survey, counts: Counts, left: dict[str, list[LeftOut]],
    outcomes: dict[str, OutcomePreview],
) -> dict[str, object]:  # fmt: skip
    """The tables for machines."""
    definition, signals = store.log.definition, counts.signals.rows()
    return {
        "definition": definition.version, "complete_through": to_datetime(store.ends).isoformat(),
        "timezone": definition.timezone, **({"people": found} if (found := people(store)) is not None else {}),
        "rows": {**store.counts, "kept": store.kept},
        "left_out": {reason: [asdict(row) for row in some] for reason, some in left.items()},
        "unreadable": {name: found.model_dump() for name, found in store.findings.items() if found.rows},
        "events": survey.events, "names": names_of_events(definition, survey, listed=None).to_dicts(),
        "events_in_no_signal": [name for name, used in asking(definition, survey).items() if not used],
        "signals": {n: {"events": e, "users": u} for n, (e, u) in zip(definition.signals, signals, strict=True)},
        "outcomes": {name: found.weeks for name, found in outcomes.items() if found.weeks is not None},
        "learning": {name: found.learning for name, found in outcomes.items() if found.learning is not None},
        "rhythm": {name: found.rhythm for name, found in outcomes.items() if found.rhythm is not None},
    }  # fmt: skip


def _naive(look: Look, survey: Survey) -> bool:
    """Whether some of the log's times name no zone, and are taken as UTC."""
    return _without_zone(look) and not _since_1970(look) and (survey.zoned < survey.rows or not survey.rows)


def _without_zone(look: Look) -> bool:
    """Whether the type of the log's times names no zone."""
    return "TIME ZONE" not in look.columns[look.definition.events.columns.time]


def _since_1970(look: Look) -> bool:
    """Whether the log's times are numbers since 1970."""
    events = look.definition.events
    return events.time_unit is not None and is_number(look.columns[events.columns.time])


def _zone(look: Look, survey: Survey) -> str:
    """How the log's times say their zone."""
    if _naive(look, survey):
        some = f"with their offset in {survey.zoned:,} of {survey.rows:,} rows, the others"
        return f"{some if survey.zoned else 'without a zone,'} taken as UTC"
    if _since_1970(look):
        return f"as numbers ({look.definition.events.time_unit} since 1970)"
    return "with their offset, converted to UTC" if survey.zoned else "with a zone, converted to UTC"
