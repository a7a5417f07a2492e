"""Tables of KPIs: the newest periods, days and cohorts."""

import polars as pl
from rich.console import RenderableType

from monitoring.kpis import frames
from propensity.console import table
from serving.published.kpis import Audience, Group, Kpis

#: periods, days and cohorts that are shown, the newest; and how many periods after its first one a cohort is followed
PERIODS, DAYS, COHORTS, AGES = 12, 7, 8, 8


def page(found: Kpis, segment: str | None) -> list[RenderableType]:
    """Show everybody's KPIs and a line for each segment, or those of one segment.

    Args:
        found: the KPIs, or only what is about the segment.
        segment: its name.
    """
    first = found.groups[0]
    whose = "everybody" if segment is None else f"{first.members:,} users who are in {segment} now"
    shown: list[RenderableType] = [
        f"KPIs of {whose}, from {found.since} to {found.through}, days of {found.timezone}",
        table("Active users", frames.days([first]).tail(DAYS).drop("group").with_columns(_text("day"))),
    ]
    if first.periods:
        shown.append(table(f"By {found.by}", _periods(first), digits=3))
    if any(len(one.retained) > 1 for one in first.cohorts):
        shown.append(table(f"Retention by {found.cohorts_by} of the first activity", _cohorts(first), digits=2))
    if segment is not None:
        shown += [table(one.name, frames.audiences([one]).tail(PERIODS).drop("audience").with_columns(_text("day")))
                  for one in found.audiences]  # fmt: skip
        return shown
    if len(found.groups) > 1:
        shown.append(table(f"Users who are in a segment now, newest {found.by}", _segments(found.groups[1:])))
    if found.audiences:
        day = found.audiences[0].days[-1].day
        shown.append(table(f"Segments and states on {day}", _newest(found.audiences)))
        if any(one.periods for one in found.audiences):
            rates = frames.states(found.audiences).group_by("state", maintain_order=True).last()
            shown.append(table(f"Who entered each state from another one, newest {found.by}",
                               rates.with_columns(_text("starts")), digits=4))  # fmt: skip
    else:
        shown.append("Who is in which segment is not known before the first batch of scores (propensity score).")
    return shown


def _text(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String)


def _periods(group: Group) -> pl.DataFrame:
    rows = frames.periods([group]).tail(PERIODS).drop("group").with_columns(_text("starts"))
    empty = [name for name in ("value", "value_per_user") if rows[name].null_count() == len(rows)]
    return rows.select(pl.exclude(*empty, "^.*_users$"))


def _cohorts(group: Group) -> pl.DataFrame:
    """A row for each cohort: how many, and which share was active 1, 2, … periods later."""
    rows = []
    for one in group.cohorts[-COHORTS:]:
        later = {str(age): one.retained[age] if age < len(one.retained) else None for age in range(1, AGES + 1)}
        rows.append({"cohort": str(one.starts), "users": one.users, **later})
    found = pl.DataFrame(rows)
    return found.select(name for name in found.columns if found[name].null_count() < len(found))


def _segments(groups: list[Group]) -> pl.DataFrame:
    rows = frames.periods(groups).group_by("group", maintain_order=True).last()
    members = pl.Series("members", [one.members for one in groups if one.periods], dtype=pl.Int64)
    sticky = pl.Series("stickiness", [one.days[-1].stickiness for one in groups if one.periods], dtype=pl.Float64)
    return rows.select(pl.col("group").alias("segment"), members, "active", sticky, "value_per_user", "new", "lost")


def _newest(audiences: list[Audience]) -> pl.DataFrame:
    rows = frames.audiences(audiences).group_by("audience", maintain_order=True).last()
    return rows.drop("day", "rate")
