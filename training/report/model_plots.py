"""Pictures of a judged model, as Altair charts: one drawing for the report and for the PNGs beside it."""

from collections.abc import Mapping
from dataclasses import dataclass

import altair as alt
import numpy as np
import polars as pl

from features.definition.sections.outcome import Profit
from serving.model.numbers import Floats

INK, MODEL, QUIET = "#30343f", "#1f6f8b", "#c3cad6"
PALETTE = ["#1f6f8b", "#e07a5f", "#8d99ae", "#c2a83e", "#6a994e", "#9d4edd", "#30343f"]
WIDTH, HEIGHT = 420, 260


@dataclass(frozen=True, slots=True)
class Terms:
    """What the pictures call things.

    Attributes:
        first: who comes first.
        reached: whose share is reached.
        rate: the predicted rate of a group.
        scale: on which effects add up.
        form: how a rate is written.
        rank: the metric that tells how well users are ordered, and its name in words.
    """

    first: str
    reached: str
    rate: str
    scale: str
    form: str
    rank: tuple[str, str]


LIKELIHOODS = Terms("most likely first", "those who do it", "rate", "the log-odds", "%", ("auc", "AUC"))
AMOUNTS = Terms("highest first", "the value", "mean", "the log of the amount", ",.3~r",
                ("normalised_gini", "normalised Gini"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judged:
    """What the pictures show.

    Attributes:
        labels: of the test slice.
        weights: how many rows each row stands for.
        scores: answers by model; ``model`` first, then the champion and the baselines.
        terms: what to call them.
    """

    labels: Floats
    weights: Floats
    scores: Mapping[str, Floats]
    terms: Terms = LIKELIHOODS


def gains(judged: Judged) -> alt.Chart:
    """Share of all positives, or of all value, reached by contacting the best users first."""
    parts = [pl.DataFrame({"contacted": [0.0, 1.0], "reached": [0.0, 1.0], "by": "at random"})]
    for name, p in judged.scores.items():
        order = np.argsort(-p, kind="stable")
        w, hit = judged.weights[order], (judged.weights * judged.labels)[order]
        share, reached = np.cumsum(w) / w.sum(), np.cumsum(hit) / hit.sum()
        grid = np.append(np.linspace(0.001, 0.1, 60), np.linspace(0.11, 1.0, 90))
        parts.append(pl.DataFrame({"contacted": grid, "reached": np.interp(grid, share, reached), "by": name}))
    names = [*judged.scores, "at random"]
    colors = [*PALETTE[: len(judged.scores)], QUIET]
    frame = pl.concat(parts)
    base = alt.Chart(frame).encode(
        alt.X("contacted:Q", title=f"share of users contacted, {judged.terms.first}", axis=alt.Axis(format="%")),
        alt.Y("reached:Q", title=f"share of {judged.terms.reached} reached", axis=alt.Axis(format="%")),
        alt.Color("by:N", scale=alt.Scale(domain=names, range=colors), sort=names, title=None),
    )
    tenth = alt.Chart(pl.DataFrame({"x": [0.1]})).mark_rule(strokeDash=[4, 3], color=INK).encode(x="x:Q")
    model = base.transform_filter(alt.datum.by == "model").mark_line(strokeWidth=3)
    return (base.mark_line(strokeWidth=1.2) + tenth + model).properties(width=WIDTH, height=HEIGHT)


def lift(judged: Judged) -> alt.Chart:
    """Rate of positives, or mean, in each tenth of users, the best first, over everybody's."""
    order = np.argsort(-judged.scores["model"], kind="stable")
    w, hit = judged.weights[order], (judged.weights * judged.labels)[order]
    tenth = np.minimum((np.cumsum(w) - w / 2) / w.sum() * 10, 9.999).astype(int)
    rate = np.bincount(tenth, hit, minlength=10) / np.maximum(np.bincount(tenth, w, minlength=10), 1e-12)
    frame = pl.DataFrame({"tenth": np.arange(1, 11), "lift": rate / (hit.sum() / w.sum())})
    bars = alt.Chart(frame).mark_bar(color=MODEL).encode(
        alt.X("tenth:O", title=f"tenth of users, {judged.terms.first}", axis=alt.Axis(labelAngle=0)),
        alt.Y("lift:Q", title=f"times everybody's {judged.terms.rate}"),
    )  # fmt: skip
    text = bars.mark_text(dy=-7, color=INK, fontSize=10).encode(text=alt.Text("lift:Q", format=".1f"))
    one = alt.Chart(pl.DataFrame({"y": [1.0]})).mark_rule(strokeDash=[4, 3], color=INK).encode(y="y:Q")
    return (bars + text + one).properties(width=WIDTH, height=HEIGHT)


def calibration(bins: pl.DataFrame, terms: Terms = LIKELIHOODS) -> alt.Chart:
    """Predicted against observed rate or mean in ten bins of equal size, with 95 % intervals.

    Args:
        bins: as `training.evaluation.reliability.reliability` makes them.
        terms: of the outcome.
    """
    top = float(max(bins["predicted"].to_numpy().max(), bins["high"].to_numpy().max())) * 1.05
    scale = alt.Scale(domain=[0, top])
    line = alt.Chart(pl.DataFrame({"x": [0.0, top], "y": [0.0, top]})).mark_line(color=QUIET, strokeDash=[4, 3])
    x = alt.X("predicted:Q", title="what the model says", axis=alt.Axis(format=terms.form), scale=scale)
    points = alt.Chart(bins).encode(x=x)
    y = alt.Y("observed:Q", title="what happens", axis=alt.Axis(format=terms.form), scale=scale)
    return (
        line.encode(x="x:Q", y="y:Q")
        + points.mark_rule(color=MODEL).encode(alt.Y("low:Q"), alt.Y2("high:Q"))
        + points.mark_line(color=MODEL, point=alt.OverlayMarkDef(color=MODEL, size=45)).encode(y=y)
    ).properties(width=WIDTH, height=HEIGHT)


def profit(judged: Judged, rule: Profit) -> alt.Chart:
    """Profit per 1,000 users of contacting the most likely ones first: what happened, and what the model expected."""
    p = judged.scores["model"]
    order = np.argsort(-p, kind="stable")
    w = judged.weights[order]
    share, total = np.cumsum(w) / w.sum(), w.sum()
    grid = np.append(np.linspace(0.002, 0.2, 60), np.linspace(0.22, 1.0, 60))
    parts = []
    for name, hit in (("what happened", judged.labels), ("as the model expected", p)):
        earned = np.cumsum(w * (hit[order] * rule.gain - rule.contact)) / total * 1_000
        parts.append(pl.DataFrame({"contacted": grid, "profit": np.interp(grid, share, earned), "line": name}))
    frame = pl.concat(parts)
    lines = alt.Chart(frame).mark_line().encode(
        alt.X("contacted:Q", title="share of users contacted, most likely first", axis=alt.Axis(format="%")),
        alt.Y("profit:Q", title="profit per 1,000 users"),
        alt.Color("line:N", scale=alt.Scale(range=[QUIET, MODEL]), title=None),
    )  # fmt: skip
    zero = alt.Chart(pl.DataFrame({"y": [0.0]})).mark_rule(color=INK, strokeWidth=0.6).encode(y="y:Q")
    best = frame.filter(pl.col("line") == "what happened").sort("profit").tail(1)
    mark = alt.Chart(best).mark_point(filled=True, size=70, color=MODEL).encode(x="contacted:Q", y="profit:Q")
    return (lines + zero + mark).properties(width=WIDTH, height=HEIGHT)


def importance(names: list[str], effects: Floats, terms: Terms = LIKELIHOODS, count: int = 15) -> alt.Chart:
    """Mean absolute effect of the strongest columns, on the scale on which effects add up."""
    strength = np.abs(effects).mean(axis=0)
    top = np.argsort(-strength)[:count]
    frame = pl.DataFrame({"column": [names[i] for i in top], "effect": strength[top]})
    return alt.Chart(frame).mark_bar(color=MODEL).encode(
        alt.X("effect:Q", title=f"mean |effect| on {terms.scale}"),
        alt.Y("column:N", sort="-x", title=None, axis=alt.Axis(labelLimit=220)),
    ).properties(width=WIDTH - 80, height=HEIGHT + 60)  # fmt: skip


def stability(snapshots: pl.DataFrame, terms: Terms = LIKELIHOODS) -> alt.Chart:
    """Observed over expected and order by snapshot; columns ``cutoff, period, ratio`` and the metric of order."""
    rank, called = terms.rank
    tall = snapshots.unpivot([rank, "ratio"], index=["cutoff", "period"], variable_name="metric").drop_nulls()
    tall = tall.with_columns(pl.col("metric").replace({rank: called, "ratio": "observed / expected"}))
    x = alt.X("cutoff:T", title=None, axis=alt.Axis(format="%d %b", labelAngle=-40))
    base = alt.Chart(tall).encode(x=x, y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)))
    points = base.mark_line(color=QUIET) + base.mark_point(filled=True, size=55).encode(
        alt.Color("period:N", title=None, scale=alt.Scale(domain=["cross-fitted", "test"], range=[QUIET, MODEL]))
    )
    return points.properties(width=WIDTH - 40, height=HEIGHT // 2 - 20).facet(
        row=alt.Row("metric:N", title=None)
    ).resolve_scale(y="independent")  # fmt: skip


def slices(groups: pl.DataFrame, terms: Terms = LIKELIHOODS) -> alt.Chart:
    """Observed and expected rate or mean of each slice; columns ``kind, group, rows, observed, expected``."""
    form = ".1%" if terms.form == "%" else terms.form
    tall = groups.unpivot(["observed", "expected"], index=["kind", "group", "rows"], variable_name="rate")
    return alt.Chart(tall).mark_point(filled=True, size=70).encode(
        alt.X("value:Q", title=terms.rate, axis=alt.Axis(format=terms.form)),
        alt.Y("group:N", title=None, sort=None),
        alt.Color("rate:N", scale=alt.Scale(domain=["observed", "expected"], range=[MODEL, "#e07a5f"]), title=None),
        alt.Shape("rate:N", legend=None),
        tooltip=["kind", "group", "rows", "rate", alt.Tooltip("value:Q", format=form)],
    ).properties(width=WIDTH - 60, height=alt.Step(22))  # fmt: skip


def base_rates(previewed: pl.DataFrame, terms: Terms = LIKELIHOODS) -> alt.Chart:
    """Base rate, or mean, of each snapshot; columns ``cutoff, base_rate``."""
    return alt.Chart(previewed).mark_line(color=MODEL, point=alt.OverlayMarkDef(color=MODEL, size=25)).encode(
        alt.X("cutoff:T", title=None, axis=alt.Axis(format="%d %b", labelAngle=-40)),
        alt.Y("base_rate:Q", title=f"everybody's {terms.rate}", axis=alt.Axis(format=terms.form),
              scale=alt.Scale(zero=True)),
    ).properties(width=WIDTH, height=HEIGHT - 60)  # fmt: skip
