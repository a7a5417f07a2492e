"""Pictures of segments beside each other, as Altair charts."""

from typing import Literal, TypeAlias

import altair as alt
import numpy as np
import polars as pl

from segments.tiers import TIERS, VALUE_TIERS
from training.report.model_plots import HEIGHT, INK, MODEL, PALETTE, QUIET, WIDTH
from training.report.segment_comparison import EVERYBODY, Compared

Picture: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart

#: more values of a trait than this are a list, not a picture
MOST = 12

_TIERS = [tier.replace("_", " ") for tier in (*TIERS[:3], *VALUE_TIERS)]


def states(compared: Compared) -> Picture:
    """Users by week and state, on top of each other."""
    found = compared.sizes("state")
    there = found.filter(pl.col("cutoff") == found["cutoff"].max())["name"].to_list()
    names = [name for name in compared.definition.states if name in there]
    words = [name.replace("_", " ") for name in names]
    order = pl.DataFrame({"name": words, "order": range(len(words))})
    stacked = found.filter(pl.col("name").is_in(names)).with_columns(_words("name")).join(order, on="name")
    return (
        alt.Chart(stacked)
        .mark_area()
        .encode(
            alt.X("cutoff:T", title=None, axis=alt.Axis(format="%d %b", labelOverlap=True)),
            alt.Y("users:Q", title="users", stack="zero", axis=alt.Axis(format="~s")),
            alt.Color("name:N", scale=alt.Scale(domain=words, range=_colors(len(words))), sort=words, title=None),
            alt.Order("order:Q"),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )


def sizes(compared: Compared) -> list[Picture]:
    """Users by week of each segment that anybody was in, the largest first; nobody in a week is 0."""
    found = compared.sizes("segments")
    weeks = compared.rows.select("cutoff").unique()
    named = pl.DataFrame({"name": list(compared.definition.segments)}, schema={"name": pl.String})
    every = weeks.join(named, how="cross").join(found, on=["cutoff", "name"], how="left")
    every = every.with_columns(pl.col("users").fill_null(0)).sort("cutoff")
    newest = every.filter(pl.col("cutoff") == every["cutoff"].max()).sort("users", descending=True, maintain_order=True)
    return [_size(name, every.filter(pl.col("name") == name)) for name in newest["name"]]


def _size(name: str, weeks: pl.DataFrame) -> Picture:
    """A small chart of one segment."""
    x = alt.X("cutoff:T", title=None, axis=alt.Axis(format="%d %b", labelOverlap=True, tickCount=4))
    y = alt.Y("users:Q", title=None, axis=alt.Axis(format="~s", tickCount=3), scale=alt.Scale(zero=True))
    lines = alt.Chart(weeks).mark_line(color=MODEL, strokeWidth=2).encode(x, y)
    return lines.properties(
        width=112, height=60, title=alt.Title(name.replace("_", " "), fontSize=11, fontWeight="normal", color=INK)
    )


def flows(compared: Compared) -> Picture:
    """A Sankey diagram of the states four weeks ago and now."""
    found = compared.flows()
    there = {*found["before"], *found["after"]}
    states = [name for name in [*compared.definition.states, "not seen yet"] if name in there]
    colors = dict(zip(states, _colors(len(states)), strict=True))
    gap = 0.045 * int(found["users"].sum())
    sides = {side: _stacked(found, side, states, gap) for side in ("before", "after")}
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.34, 1.34]))
    y = alt.Y("low:Q", axis=None, scale=alt.Scale(reverse=True))
    color = alt.Color("from:N", scale=alt.Scale(domain=states, range=[colors[s] for s in states]), legend=None)
    bands = alt.Chart(_ribbons(found, states, sides)).mark_area(opacity=0.55).encode(
        x, y, alt.Y2("high:Q"), color, alt.Detail("flow:N"), tooltip=["label:N", alt.Tooltip("users:Q", format=",")]
    )  # fmt: skip
    labels = [
        {"x": 0.0 if side == "before" else 1.0, "low": low, "high": high, "y": (low + high) / 2, "from": name,
         "text": f"{name.replace('_', ' ')}  {high - low:,.0f}", "side": side}
        for side, stack in sides.items()
        for name, low, high in stack
    ]  # fmt: skip
    ends = alt.Chart(pl.DataFrame(labels))
    bars = ends.mark_rule(strokeWidth=7).encode(x, y, alt.Y2("high:Q"), color)
    ends_of: list[tuple[str, Literal["left", "right"], int]] = [("before", "right", -9), ("after", "left", 9)]
    texts = [
        ends.transform_filter(alt.datum.side == side)
        .mark_text(align=align, dx=dx, fontSize=12, color=INK)
        .encode(x, alt.Y("y:Q", axis=None), text="text:N")
        for side, align, dx in ends_of
    ]
    return alt.layer(bands, bars, *texts).properties(width=WIDTH, height=HEIGHT + 60)


def _ribbons(found: pl.DataFrame, states: list[str], sides: dict[str, list[tuple[str, float, float]]]) -> pl.DataFrame:
    """The outlines of the ribbons between two stacks of states; none crosses another at its ends."""
    place = {side: {name: low for name, low, _ in stack} for side, stack in sides.items()}
    t = np.linspace(0, 1, 24)
    smooth = t * t * (3 - 2 * t)
    order = {name: i for i, name in enumerate(states)}
    rows = sorted(found.iter_rows(), key=lambda row: (order[row[0]], order[row[1]]))
    starts: dict[tuple[str, str], float] = {}
    for before, after, users in rows:
        starts[before, after] = place["before"][before]
        place["before"][before] += users
    ribbons = []
    for before, after, users in sorted(rows, key=lambda row: (order[row[1]], order[row[0]])):
        left, right = starts[before, after], place["after"][after]
        place["after"][after] += users
        low = left + (right - left) * smooth
        ribbons.append(
            pl.DataFrame({"x": t, "low": low, "high": low + users, "flow": f"{before}→{after}", "from": before,
                          "label": f"{before.replace('_', ' ')} → {after.replace('_', ' ')}", "users": users})
        )  # fmt: skip
    return pl.concat(ribbons)


def outcomes(compared: Compared) -> list[Picture]:
    """What became of each segment's users, beside everybody: a chart for each outcome."""
    found = compared.outcomes().filter(pl.col("users") >= 20).with_columns(_words("segment"))
    names = list(compared.definition.likelihoods)
    long = found.unpivot(names, index=["segment", "users"], variable_name="outcome", value_name="share").drop_nulls()
    order = found["segment"].to_list()
    all_ = long.filter(pl.col("segment") == EVERYBODY)
    base = alt.Chart(long.filter(pl.col("segment") != EVERYBODY)).encode(
        alt.Y("segment:N", sort=order, title=None, axis=alt.Axis(labelLimit=170)),
        alt.X("share:Q", title=None, axis=alt.Axis(format="%", tickCount=4)),
        tooltip=["segment", "outcome", alt.Tooltip("share:Q", format=".1%"), alt.Tooltip("users:Q", format=",")],
    )
    parts: list[Picture] = []
    for name in names:
        mean = alt.Chart(all_.filter(pl.col("outcome") == name))
        line = mean.mark_rule(color=INK, strokeDash=[4, 3]).encode(x="share:Q")
        bars = base.transform_filter(alt.datum.outcome == name).mark_bar(color=MODEL)
        title = alt.Title(f"{name}: {compared.definition.likelihoods[name].question}", fontSize=11)
        parts.append((bars + line).properties(width=170, height=18 * max(len(order), 3), title=title))
    return parts


def value(compared: Compared) -> Picture:
    """What each segment's users spent in the 30 days after, a user."""
    return _amounts(compared.outcomes(), "value", f"{compared.money} value a user in 30 days")


def expected(compared: Compared, outcome: str) -> Picture:
    """What is expected of each segment's users from now on, a user."""
    return _amounts(compared.expected(), outcome, f"{compared.definition.amounts[outcome].question}, a user")


def _amounts(by_segment: pl.DataFrame, column: str, title: str) -> Picture:
    """A mean of each segment, beside everybody's."""
    found = by_segment.filter((pl.col("users") >= 20) & pl.col(column).is_not_null()).with_columns(_words("segment"))
    mean = found.filter(pl.col("segment") == EVERYBODY)
    bars = alt.Chart(found.filter(pl.col("segment") != EVERYBODY)).mark_bar(color=MODEL).encode(
        alt.Y("segment:N", sort="-x", title=None, axis=alt.Axis(labelLimit=170)),
        alt.X(f"{column}:Q", title=title),
        tooltip=["segment", alt.Tooltip(f"{column}:Q", format=",.2f"), alt.Tooltip("users:Q", format=",")],
    )  # fmt: skip
    line = alt.Chart(mean).mark_rule(color=INK, strokeDash=[4, 3]).encode(x=f"{column}:Q")
    return (bars + line).properties(width=WIDTH - 80, height=18 * max(len(found), 3))


def tiers(compared: Compared, outcome: str) -> Picture:
    """States and tiers now: how many users, and which share of each state."""
    found = compared.tiers(outcome).with_columns(
        _words("state"), _words("tier"), (pl.col("users") / pl.col("users").sum().over("state")).alias("share")
    )
    states = [name.replace("_", " ") for name in compared.definition.states]
    base = alt.Chart(found).encode(
        alt.X("tier:N", sort=_TIERS, title=None, axis=alt.Axis(labelAngle=0, labelLimit=110)),
        alt.Y("state:N", sort=states, title=None),
    )
    cells = base.mark_rect().encode(
        alt.Color("share:Q", scale=alt.Scale(scheme="tealblues", domain=[0, 1]), legend=None),
        tooltip=["state", "tier", alt.Tooltip("users:Q", format=","), alt.Tooltip("share:Q", format=".0%")],
    )
    dark = alt.condition(alt.datum.share > 0.55, alt.value("#ffffff"), alt.value(INK))
    numbers = base.mark_text(fontSize=11).encode(text=alt.Text("users:Q", format=","), color=dark)
    return (cells + numbers).properties(width=WIDTH, height=26 * len(states), title=alt.Title(outcome, fontSize=12))


def by_trait(compared: Compared, trait: str) -> list[Picture]:
    """Value, and what became of users, by a trait such as the source they came from."""
    found = compared.by_trait(trait).head(MOST)
    measures = [*(["value"] if compared.money else []), *compared.definition.likelihoods]
    parts: list[Picture] = []
    for name in measures:
        is_value = name == "value"
        title, form = (f"{compared.money} value in 30 days", ",.1f") if is_value else (f"{name} share", "%")
        parts.append(
            alt.Chart(found)
            .mark_bar(color=PALETTE[1] if is_value else MODEL)
            .encode(
                alt.Y("name:N", sort=found["name"].to_list(), title=None, axis=alt.Axis(labelLimit=110)),
                alt.X(f"{name}:Q", title=title, axis=alt.Axis(format=form, tickCount=4)),
                tooltip=["name", alt.Tooltip(f"{name}:Q", format=",.3f"), alt.Tooltip("users:Q", format=",")],
            )
            .properties(width=150, height=22 * max(len(found), 3))
        )
    return parts


def _stacked(found: pl.DataFrame, side: str, states: list[str], gap: float) -> list[tuple[str, float, float]]:
    """Where each state stands on one side: name, from, to."""
    sums, low, stack = dict(found.group_by(side).agg(pl.col("users").sum()).iter_rows()), 0.0, []
    for name in states:
        if name in sums:
            stack.append((name, low, low + sums[name]))
            low += sums[name] + gap
    return stack


def _words(column: str) -> pl.Expr:
    return pl.col(column).str.replace_all("_", " ")


def _colors(count: int) -> list[str]:
    more = [*PALETTE[:6], "#4a7c59", "#b5838d", QUIET]
    return [more[i % len(more)] for i in range(count)]
