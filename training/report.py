"""The report of a run: one page that is read without a network, its first screen in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import jinja2
import polars as pl
import vl_convert

from features.definition.outcome import Outcome
from features.definition.schema import Definition
from features.time import span_name
from serving.card import Measure, ModelCard
from training import plots
from training.audit import Finding
from training.gate import Criterion, passes

#: what each picture shows, in the order of the page
CAPTIONS = {
    "gains": "Who is reached by contacting the most likely users first, beside the floors.",
    "lift": "How much more often it happens in each tenth of the users.",
    "calibration": "What the model says and what happens: on the line, a probability can be taken at its word.",
    "profit": "What contacting pays, with the costs named in the text above.",
    "stability": "Snapshot by snapshot: ranking above, level below. The grey ones were used to adjust the model.",
    "slices": "Observed and expected rates of states and of newer and older users.",
    "importance": "What moves the answer most, on average.",
    "base_rates": "How often it happened in the past, by snapshot.",
}


@dataclass(frozen=True, slots=True)
class Report:
    """What a report is made of.

    Attributes:
        card: the model's card, judged.
        criteria: the gate's.
        findings: the audit's.
        charts: by name, as in `CAPTIONS`.
        against: how far the model lies ahead of the champion and of each floor, by model and metric.
        slices: the table of slices.
    """

    card: ModelCard
    criteria: list[Criterion]
    findings: list[Finding]
    charts: Mapping[str, alt.Chart]
    against: Mapping[str, Mapping[str, Measure]]
    slices: pl.DataFrame

    def html(self, definition: Definition) -> str:
        """The page, with the drawing library inside."""
        rule = definition.outcomes[self.card.outcome]
        environment = jinja2.Environment(
            autoescape=True, loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined
        )
        environment.filters |= {"measure": measure, "percent": lambda v: f"{v:.1%}"}
        return environment.get_template("report.html.j2").render(
            report=self,
            card=self.card,
            rule=rule,
            passed=passes(self.criteria),
            profit=_profit(rule),
            horizon=span_name(self.card.horizon),
            captions={name: text for name, text in CAPTIONS.items() if name in self.charts},
            specs={name: themed(chart).to_json().replace("</", "<\\/") for name, chart in self.charts.items()},
            library=library(),
        )


def words(card: ModelCard, rule: Outcome) -> str:
    """What the model is good for, in two sentences."""
    reached, lift = card.metrics["recall_at_10"], card.metrics["lift_at_10"]
    who = f"those who will {'not ' if rule.will_not else ''}{rule.signal.replace('_', ' ')}"
    ratio = card.metrics["observed_over_expected"].value
    level = "come true" if 0.95 <= ratio <= 1.05 else f"come true {ratio:.2f} times as often as said"
    return (
        f"Calling the top 10 % reaches {100 * reached.value:.0f} % of {who} within {span_name(rule.within)} "
        f"({lift.value:.1f} × random). Its probabilities {level}: off by "
        f"{100 * card.metrics['calibration_error'].value:.1f} points on average, where {100 * card.base_rate:.1f} % do."
    )


def measure(found: Measure, form: str = ".3f") -> str:
    """A value with its interval."""
    if found.low is None or found.high is None:
        return f"{found.value:{form}}"
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"


def picture(chart: alt.Chart) -> bytes:
    """A chart as PNG."""
    return bytes(vl_convert.vegalite_to_png(themed(chart).to_json(), scale=1.5))


def themed(chart: Any) -> Any:
    """The charts' common look."""
    return (
        chart.configure(font="system-ui, sans-serif", background="#ffffff")
        .configure_view(stroke=None)
        .configure_axis(gridOpacity=0.35, labelColor=plots.INK, titleColor=plots.INK, titleFontWeight="normal")
        .configure_legend(orient="bottom", labelLimit=200, columns=4)
    )


def _profit(rule: Outcome) -> str:
    p = rule.profit
    return (
        f"a contact costs {p.contact:g}, an incentive {p.incentive:g}, {p.accept:.0%} accept, and one kept is worth "
        f"{p.value:g}"
    )


@cache
def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    return str(vl_convert.javascript_bundle())  # type: ignore[call-arg]
