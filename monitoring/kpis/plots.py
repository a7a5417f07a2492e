"""Pictures of KPIs, as Altair charts."""

from collections.abc import Sequence
from typing import TypeAlias

import altair as alt
import polars as pl

from monitoring.kpis import frames
from serving.published.kpis import Audience, Group, Kpis
from training.report.model_plots import HEIGHT, INK, MODEL, PALETTE, WIDTH

Picture: TypeAlias = alt.Chart | alt.LayerChart

#: more cohorts than this are not distinguished in a picture; the newest are shown
COHORTS = 18

_DAY = alt.Axis(format="%d %b", labelOverlap=True, tickCount=6)


def active(group: Group) -> Picture:
    """Daily, weekly and monthly active users."""
    names = ["daily", "weekly", "monthly"]
    long = frames.days([group]).unpivot(names, index="day", variable_name="users of", value_name="users").drop_nulls()
    return (
        alt.Chart(long)
        .mark_line(strokeWidth=2)
        .encode(
            alt.X("day:T", title=None, axis=_DAY),
            alt.Y("users:Q", title="active users", axis=alt.Axis(format="~s", tickCount=6)),
            alt.Color("users of:N", scale=alt.Scale(domain=names, range=PALETTE[:3]), sort=names, title=None),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )


def stickiness(group: Group) -> Picture:
    """Daily over monthly active users."""
    rows = frames.days([group]).drop_nulls("stickiness")
    return _line(rows, "day", "stickiness", "daily over monthly active users", "%")


def flows(group: Group) -> Picture:
    """Who is new, retained and resurrected in each period, above, and who was lost, below."""
    rows = frames.periods([group]).with_columns(lost=-pl.col("lost"))
    names = ["retained", "resurrected", "new", "lost"]
    long = rows.unpivot(names, index="starts", variable_name="flow", value_name="users")
    order = pl.DataFrame({"flow": names, "order": range(len(names))})
    colors = [PALETTE[0], PALETTE[4], PALETTE[3], PALETTE[1]]
    axis = alt.Axis(format="%d %b", labelOverlap=True, labelAngle=0)
    return (
        alt.Chart(long.join(order, on="flow"))
        .mark_bar()
        .encode(
            alt.X("yearmonthdate(starts):O", title=None, axis=axis),
            alt.Y("users:Q", title="users", axis=alt.Axis(format="~s", tickCount=6)),
            alt.Color("flow:N", scale=alt.Scale(domain=names, range=colors), sort=names, title=None),
            alt.Order("order:Q"),
            tooltip=["starts:T", "flow:N", alt.Tooltip("users:Q", format=",")],
        )
        .properties(width=WIDTH, height=HEIGHT)
    )  # fmt: skip


def retention(group: Group, unit: str) -> Picture:
    """Which share of each cohort is active so many periods later."""
    rows = frames.cohorts([group])
    newest = sorted(rows["starts"].unique())[-COHORTS:]
    # everybody is there at the beginning, which says nothing
    shown = rows.filter(pl.col("starts").is_in(newest) & (pl.col("age") > 0) & (pl.col("age") <= COHORTS))
    form = "%b %Y" if unit == "month" else "%d %b %Y"
    label = pl.format("{}  ({})", pl.col("starts").dt.strftime(form), "users")
    shown = shown.with_columns(cohort=label, percent=(100 * pl.col("retained")).round(0).cast(pl.Int64))
    base = alt.Chart(shown).encode(
        alt.X("age:O", title=f"{unit}s after the first activity", axis=alt.Axis(labelAngle=0)),
        alt.Y("cohort:N", sort=alt.SortField("starts"), title=None, axis=alt.Axis(labelLimit=170)),
        tooltip=["cohort:N", "age:O", alt.Tooltip("retained:Q", format=".1%")],
    )
    cells = base.mark_rect().encode(
        alt.Color("retained:Q", scale=alt.Scale(scheme="tealblues", domainMin=0), legend=None)
    )
    dark = alt.condition(alt.datum.retained > 0.4 * _most(shown["retained"]), alt.value("#ffffff"), alt.value(INK))
    numbers = base.mark_text(fontSize=10).encode(text="percent:Q", color=dark)
    ages = max(1, shown["age"].n_unique())
    return (cells + numbers).properties(width=max(200, 30 * ages), height=22 * max(1, shown["cohort"].n_unique()))


def _most(values: pl.Series) -> float:
    most = values.max()
    return float(most) if isinstance(most, float | int) else 1.0


def rates(group: Group, outcomes: Sequence[str]) -> list[Picture]:
    """The share of each period's active users for whom each outcome came true."""
    rows = frames.periods([group])
    found: list[Picture] = []
    for name in outcomes:
        known = rows.drop_nulls(f"{name}_rate")
        if len(known):
            found.append(_line(known, "starts", f"{name}_rate", None, ".1~%", title=name.replace("_", " "), small=True))
    return found


def value(group: Group) -> Picture:
    """The value of a period over its active users."""
    return _line(frames.periods([group]).drop_nulls("value_per_user"), "starts", "value_per_user", "value a user", "~s")


def sizes(audiences: Sequence[Audience]) -> list[Picture]:
    """The size of each segment or state, day by day, the largest first."""
    largest = sorted(audiences, key=lambda one: one.days[-1].size if one.days else 0, reverse=True)
    return [
        _line(frames.audiences([one]), "day", "size", None, "~s", title=one.name.partition(".")[2].replace("_", " "),
              small=True)
        for one in largest
        if one.days
    ]  # fmt: skip


def _line(
    rows: pl.DataFrame, x: str, y: str, axis: str | None, form: str, *, title: str | None = None, small: bool = False
) -> Picture:
    """One number over time; a single day is a point."""
    width, height = (150, 70) if small else (WIDTH, HEIGHT)
    ticks = 3 if small else 6
    point = alt.OverlayMarkDef(color=MODEL, size=24 if small else 30)
    chart = alt.Chart(rows).mark_line(color=MODEL, strokeWidth=2, point=point if len(rows) <= 31 else False).encode(
        alt.X(f"{x}:T", title=None, axis=alt.Axis(format="%d %b", labelOverlap=True, tickCount=ticks)),
        alt.Y(f"{y}:Q", title=axis, axis=alt.Axis(format=form, tickCount=ticks), scale=alt.Scale(zero=True)),
        tooltip=[alt.Tooltip(f"{x}:T"), alt.Tooltip(f"{y}:Q", format=form if "%" in form else ",.2~f")],
    )  # fmt: skip
    sized = chart.properties(width=width, height=height)
    return sized.properties(title=alt.Title(title, fontSize=11, fontWeight="normal", color=INK)) if title else sized


def charts(found: Kpis) -> dict[str, tuple[str, list[Picture]]]:
    """The pictures of everybody and of the audiences, by name, each with its caption."""
    everybody = found.groups[0]
    made: dict[str, tuple[str, list[Picture]]] = {
        "active": ("How many users were active: on a day, in 7 days, and in 30 days.", [active(everybody)]),
        "flows": (f"Who came and who went, {found.by} by {found.by}: lost users are below 0.", [flows(everybody)]),
    }
    if any(day.stickiness is not None for day in everybody.days):
        made["stickiness"] = ("Stickiness: which share of a month's users comes on a day.", [stickiness(everybody)])
    if any(period.value_per_user is not None for period in everybody.periods):
        made["value"] = (f"What an active user brought in a {found.by}.", [value(everybody)])
    if outcomes := rates(everybody, list(everybody.periods[-1].outcomes) if everybody.periods else []):
        made["rates"] = (f"Which share of a {found.by}'s active users each outcome came true for.", outcomes)
    if any(len(cohort.retained) > 1 for cohort in everybody.cohorts):
        caption = (
            f"Of 100 users who came for the first time in a {found.cohorts_by}, how many were active so many "
            f"{found.cohorts_by}s later; beside the date, how many they were."
        )
        made["retention"] = (caption, [retention(everybody, found.cohorts_by)])
    for kind in ("states", "segments"):
        mine = [one for one in found.audiences if one.name.startswith(f"{kind}.")]
        if mine:
            made[kind] = (f"How many users are in each {kind[:-1]}, day by day.", sizes(mine))
    return made
