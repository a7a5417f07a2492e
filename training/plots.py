"""Pictures of a model: gains, lift, calibration, importance."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from serving.model import Floats
from training.evaluate import BINS, Ranking

INK, MODEL, FLOORS = "#30343f", "#1f6f8b", ("#e07a5f", "#8d99ae", "#c2a83e")


@dataclass(frozen=True, slots=True)
class Judged:
    """What the pictures show: the model's and the floors' probabilities on the test slice, and the labels."""

    title: str
    labels: Floats
    model: Floats
    floors: Mapping[str, Floats]


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    return figure, axes


def gains(judged: Judged) -> Figure:
    """Share of all positives reached by contacting the most likely users first."""
    positives = judged.labels.sum()
    share = np.arange(1, len(judged.labels) + 1) / len(judged.labels)
    order = np.argsort(-judged.model, kind="stable")
    reached = np.cumsum(judged.labels[order]) / positives
    tenth = max(int(len(share) * 0.1) - 1, 0)
    figure, axes = _axes(
        f"{judged.title}: the top 10 % hold {reached[tenth]:.0%} of those who do",
        "share of users contacted",
        "share reached",
    )
    axes.plot([0, 1], [0, 1], color=INK, lw=0.8, ls=":", label="at random")
    for (name, p), color in zip(judged.floors.items(), FLOORS, strict=False):
        by = np.argsort(-p, kind="stable")
        axes.plot(share, np.cumsum(judged.labels[by]) / positives, color=color, lw=1.1, label=name)
    axes.plot(share, reached, color=MODEL, lw=2.2, label="model")
    axes.axvline(0.1, color=INK, lw=0.6, ls="--")
    axes.legend(frameon=False)
    return figure


def lift(judged: Judged) -> Figure:
    """Rate of positives in each tenth of users, most likely first, over the base rate."""
    base = judged.labels.mean()
    tenths = np.array_split(judged.labels[np.argsort(-judged.model, kind="stable")], 10)
    height = [float(t.mean() / base) for t in tenths]
    figure, axes = _axes(
        f"{judged.title}: lift by tenth (base rate {base:.1%})", "tenth of users, most likely first", "lift"
    )
    bars = axes.bar(range(1, 11), height, color=MODEL, width=0.75)
    axes.bar_label(bars, [f"{h:.1f}" for h in height], fontsize=8, color=INK)
    axes.axhline(1.0, color=INK, lw=0.8, ls=":")
    axes.set_xticks(range(1, 11))
    return figure


def calibration(judged: Judged) -> Figure:
    """Predicted against observed rate in ten bins of equal size."""
    ranking = Ranking.of(judged.model)
    size = np.maximum(np.bincount(ranking.bin, minlength=BINS), 1)
    predicted = np.bincount(ranking.bin, judged.model, minlength=BINS) / size
    observed = np.bincount(ranking.bin, judged.labels, minlength=BINS) / size
    error = 1.96 * np.sqrt(np.maximum(observed * (1 - observed), 1e-9) / size)
    top = float(max(predicted.max(), (observed + error).max())) * 1.05
    figure, axes = _axes(f"{judged.title}: what is said and what happens", "predicted", "observed")
    axes.plot([0, top], [0, top], color=INK, lw=0.8, ls=":")
    axes.errorbar(predicted, observed, yerr=error, fmt="o-", color=MODEL, capsize=2, ms=4)
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    return figure


def importance(title: str, names: list[str], effects: Floats, count: int = 15) -> Figure:
    """Mean absolute effect of the strongest columns on the log-odds."""
    strength = np.abs(effects).mean(axis=0)
    top = np.argsort(-strength)[:count][::-1]
    figure, axes = _axes(f"{title}: what moves the answer", "mean |effect| on the log-odds", "")
    axes.barh([names[i] for i in top], strength[top], color=MODEL, height=0.7)
    axes.tick_params(axis="y", labelsize=8)
    return figure
