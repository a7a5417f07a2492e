"""The report of a run: one page that is read without a network, its first screen in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import altair as alt
import polars as pl
import vl_convert

from features.definition.sections.outcome import Outcome, ValueOutcome
from features.time import span_name
from serving.model.card import Measure, ModelCard
from training.evaluation.gate import Criterion, named, passes
from training.evaluation.leakage import Finding
from training.evaluation.protocol import protocol_of
from training.report.pages import rendered, specification
from training.report.pictures import pictures_of

#: what each picture shows, in the order of the page
CAPTIONS = {
    "gains": "Who is reached by contacting the most likely users first, beside the baselines.",
    "lift": "How much more often it happens in each tenth of the users.",
    "calibration": "What the model says and what happens: on the line, a probability can be taken at its word.",
    "profit": "What contacting pays, with the costs named in the text above.",
    "stability": "Snapshot by snapshot: ranking above, level below. At the grey ones it learnt, from other users.",
    "slices": "Observed and expected rates of states and of newer and older users.",
    "importance": "What moves the answer most, on average.",
    "base_rates": "How often it happened in the past, by snapshot.",
}


@dataclass(frozen=True, slots=True)
class Report:
    """What a report is made of.

    Attributes:
        card: the model's card, judged.
        rule: the outcome.
        criteria: the gate's.
        findings: the audit's.
        charts: by name, as in `CAPTIONS`.
        against: how far the model lies ahead of the champion and of each baseline, by model and metric.
        slices: the table of slices.
    """

    card: ModelCard
    rule: Outcome | ValueOutcome
    criteria: list[Criterion]
    findings: list[Finding]
    charts: Mapping[str, alt.Chart]
    against: Mapping[str, Mapping[str, Measure]]
    slices: pl.DataFrame

    def html(self) -> str:
        """The page, with the drawing library inside."""
        protocol = protocol_of(self.rule)
        captions = {**CAPTIONS, **pictures_of(self.rule).captions}
        rate = "{:.1%}" if isinstance(self.rule, Outcome) else "{:,.2f}"
        return rendered(
            Path(__file__).with_name("report.html.j2"),
            self.charts,
            filters={"measure": measure, "named": named, "rate": rate.format},
            report=self,
            card=self.card,
            learnt=self.card.learnt,
            passed=passes(self.criteria),
            tiles=protocol.tiles(self.card),
            reported=protocol.reported,
            ranks=protocol.ranks,
            profit=_profit(self.rule) if isinstance(self.rule, Outcome) else None,
            horizon=span_name(self.card.horizon),
            captions={name: text for name, text in captions.items() if name in self.charts},
        )


def measure(found: Measure, form: str = ".3f") -> str:
    """A value with its interval."""
    if found.low is None or found.high is None:
        return f"{found.value:{form}}"
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"


def picture(chart: alt.Chart) -> bytes:
    """A chart as PNG."""
    return bytes(vl_convert.vegalite_to_png(specification(chart), scale=1.5))


def _profit(rule: Outcome) -> str:
    p = rule.profit
    return (
        f"a contact costs {p.contact:g}, an incentive {p.incentive:g}, {p.accept:.0%} accept, and one kept is worth "
        f"{p.value:g}"
    )
