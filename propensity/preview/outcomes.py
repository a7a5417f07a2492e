"""An outcome before it is trained: its base rate per week, and what a training would learn from."""

from dataclasses import asdict, dataclass

import polars as pl
from rich.console import RenderableType

from features.definition.sections.learning import Training
from features.definition.sections.outcome import Outcome, ValueOutcome
from features.time import DAY, span_name
from propensity.console import table
from propensity.preview.plan import Plan, plan
from training.dataset.base_rate import one_sided
from training.dataset.returns import Returns

#: a horizon that this share of all gaps outlasts takes many who only pause for gone
PAUSES = 0.25


@dataclass(frozen=True)
class OutcomePreview:
    """What is known of an outcome before it is trained.

    Attributes:
        problem: why it cannot be learnt, or None.
        warnings: what deserves a look.
        shown: its tables.
        weeks: ``week of, eligible, positives, base_rate`` (or ``mean``) per cutoff; None when nobody is eligible.
        learning: the slices of a training and how it is judged, for machines; None when nobody is eligible.
        rhythm: its horizon beside the silences of its signal, for machines; None where it is not about a silence.
    """

    problem: str | None
    warnings: list[str]
    shown: list[RenderableType]
    weeks: list[dict[str, object]] | None
    learning: dict[str, object] | None
    rhythm: dict[str, object] | None


def outcome_preview(
    name: str, rule: Outcome | ValueOutcome, counts: pl.DataFrame, returns: Returns | None, limits: Training, *,
    weeks_shown: int | None,
) -> OutcomePreview:  # fmt: skip
    """Preview an outcome.

    Args:
        name: the outcome's.
        rule: the outcome.
        counts: ``cutoff, eligible, positives, total`` of each matured cutoff, sorted.
        returns: how long users stay silent, where the outcome is that they do.
        limits: of the training.
        weeks_shown: how many weeks the table has; all when None.
    """
    title = f"{name}: {rule.question}, among {rule.among}"
    if counts.is_empty():
        return OutcomePreview(f"{title}: nobody is eligible at a matured cutoff", [], [], None, None, None)
    planned = plan(counts, rule, limits)
    weeks = counts.select(
        pl.col("cutoff").dt.to_string("%Y-%m-%d").alias("week of"), "eligible", "positives",
        (pl.col("total") / pl.col("eligible")).alias("base_rate" if isinstance(rule, Outcome) else "mean"),
    )  # fmt: skip
    warnings, rhythm = [], None
    if isinstance(rule, Outcome) and (uneven := one_sided(weeks)):
        warnings.append(f"{name}: {uneven}; there is little to tell users apart by. Change 'within' or 'among'.")
    shown = _tables(name, title, rule, weeks, planned, weeks_shown)
    if isinstance(rule, Outcome) and returns is not None:
        warnings += hasty(name, rule, returns)
        shown += _silences(rule, returns)
        rhythm = _rhythm(rule, returns)
    learning: dict[str, object] = {"slices": [asdict(part) for part in planned.slices], "words": planned.words}
    problem = None if planned.problem is None else f"{title}: {planned.problem}"
    return OutcomePreview(problem, warnings, shown, weeks.to_dicts(), learning, rhythm)


def _tables(
    name: str, title: str, rule: Outcome | ValueOutcome, weeks: pl.DataFrame, planned: Plan, weeks_shown: int | None
) -> list[RenderableType]:
    some = weeks if weeks_shown is None else weeks.tail(weeks_shown)
    cut = f" (the last {len(some)} of {len(weeks)} weeks; --verbose shows all)" if len(some) < len(weeks) else ""
    return [
        table(f"{title}; each answer is known {span_name(rule.reach)} later{cut}", some),
        table(f"{name}: what a training learns from; {planned.words}", pl.DataFrame(planned.slices)),
    ]


def hasty(name: str, rule: Outcome, returns: Returns) -> list[str]:
    """A warning where a horizon is shorter than many gaps between two active days, so that who only pauses is gone.

    Args:
        name: the outcome's.
        rule: the outcome, about a silence.
        returns: the gaps of its signal.
    """
    longer, middle = returns.longer(rule.within // DAY), returns.rhythm()
    if longer is None or longer < PAUSES:
        return []
    return [
        f"outcomes.{name}: {longer:.0%} of all gaps between two days with {rule.signal} are longer than 'within' "
        f"({span_name(rule.within)}), the middle one has {middle} days: users who only pause count as gone. Where the "
        "log is long enough, lengthen 'within'."
    ]


def _rhythm(rule: Outcome, returns: Returns) -> dict[str, object]:
    """The horizon beside the silences, for machines; days."""
    days = -(-rule.within // DAY)
    return {
        "within_days": rule.within / DAY, "middle_gap_days": returns.rhythm(),
        "gaps_longer_than_within": returns.longer(rule.within // DAY),
        "back_within_as_long_again": returns.resurrection(days, days),
        "suggested_days": returns.suggested(), "silences": returns.table().to_dicts(),
    }  # fmt: skip


def _silences(rule: Outcome, returns: Returns) -> list[RenderableType]:
    """The return curve of a signal, how final the outcome's horizon is, and which one would be."""
    curve = returns.table()
    bars = pl.Series("", ["█" * round(30 * share) for share in curve["not_back_yet"]])
    days = -(-rule.within // DAY)
    back = returns.resurrection(days, days)
    share = "the log does not tell how many come back" if back is None else f"{back:.0%} come back in as long again"
    return [
        table(f"How many days silences of {rule.signal} last (Kaplan-Meier)", curve.insert_column(2, bars)),
        f"Of those silent for {span_name(rule.within)}, {share} (resurrection rate). {returns.advice()}",
    ]
