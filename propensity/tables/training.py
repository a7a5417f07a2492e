"""Tables of what was trained."""

from typing import TYPE_CHECKING

import polars as pl
from rich.console import RenderableType
from rich.markup import escape

from propensity.console import table
from serving.model.card import Measure, ModelCard

if TYPE_CHECKING:  # a job imports much that its table does not need
    from training.job import Result


def results(results: "list[Result]") -> list[RenderableType]:
    """Show each outcome's model in words and numbers beside its best baseline, with gate, audit and refusals."""
    refused = [
        f"[bold red]{result.outcome} refused[/] {result.refusal.code}: {escape(str(result.refusal))}"
        for result in results
        if result.refusal is not None
    ]
    judged = {r.version: r.card for r in results if r.card is not None and r.version is not None}
    amounts = {version: card for version, card in judged.items() if "normalised_gini" in card.metrics}
    others = {version: card for version, card in judged.items() if version not in amounts}
    tables = []
    for title, cards, rows in (("Models, judged on the newest matured users", others, _likelihood),
                               ("Models of value, judged on the same", amounts, _amount)):  # fmt: skip
        columns = {version: rows(card) for version, card in cards.items()}
        if columns:
            names = next(iter(columns.values())).keys()
            shown = {version: list(column.values()) for version, column in columns.items()}
            tables.append(table(title, pl.DataFrame({"": list(names), **shown})))
    return [*tables, *(line for result in results for line in _verdict(result)), *refused]


def recalibrated(result: "Result") -> list[RenderableType]:
    """Show whether a recalibrated version is the champion now, the verdict in words, and the criteria."""
    if result.refusal is not None:
        return [f"[bold red]{result.outcome} refused[/] {result.refusal.code}: {escape(result.refusal.message)}",
                f"[bold]fix[/] {escape(result.refusal.fix)}"]  # fmt: skip
    if result.card is None or result.card.recalibrated is None:
        return []
    state = "[bold green]champion[/]" if result.promoted else "[bold red]not promoted[/]"
    marks = {True: "[green]✓[/]", False: "[red]✗[/]", None: "–"}
    return [
        f"[bold]{result.version}[/] {state}. {escape(result.card.recalibrated.words)}",
        *(f"  {marks[c.passed]} {escape(f'{c.name}: needed {c.needed}; found {c.found}')}" for c in result.criteria),
        escape(result.card.words),
    ]


def _likelihood(card: ModelCard) -> dict[str, str]:
    m, test = card.metrics, card.slices["test"]
    best, baseline = _best(card, "average_precision")
    return {
        "test rows": f"{test['rows']:,}",
        "base rate": f"{card.judged_rate:.1%}",
        "AP": _interval(m["average_precision"]),
        "AUC": _interval(m["auc"]),
        "lift@10 %": f"{m['lift_at_10'].value:.2f}",
        "calibration error": f"{m['calibration_error'].value:.4f}",
        "observed/expected": f"{m['observed_over_expected'].value:.3f}",
        "best baseline": f"{best}: AP {baseline['average_precision'].value:.3f}, AUC {baseline['auc'].value:.3f}",
        "AP ahead of it": _interval(baseline["average_precision_behind"], "+"),
    }


def _amount(card: ModelCard) -> dict[str, str]:
    m = card.metrics
    best, baseline = _best(card, "normalised_gini")
    return {
        "test rows": f"{card.slices['test']['rows']:,}",
        "mean of all rows": f"{card.base_rate:,.2f}",
        "normalised Gini": _interval(m["normalised_gini"]),
        "value in the top 10 %": _interval(m["value_at_10"]),
        "calibration error of the mean": f"{m['calibration_error'].value:.1%}",
        "observed/expected total": f"{m['observed_over_expected'].value:.3f}",
        "best baseline": f"{best}: Gini {baseline['normalised_gini'].value:.3f}, "
        f"{baseline['value_at_10'].value:.3f} in the top 10 %",
        "Gini ahead of it": _interval(baseline["normalised_gini_behind"], "+"),
    }


def _best(card: ModelCard, metric: str) -> tuple[str, dict[str, Measure]]:
    """The baseline that is best by a metric."""
    return max(card.baselines.items(), key=lambda item: item[1][metric].value)


def _verdict(result: "Result") -> list[RenderableType]:
    """What the model is good for, whether it is champion now, and what speaks against it."""
    if result.card is None:
        return []
    failed = [c for c in result.criteria if c.passed is False]
    decided = sum(c.passed is not None for c in result.criteria)
    verdict = "[bold green]champion[/]" if result.promoted else "[bold red]not promoted[/]"
    forced = " by force" if result.promoted and failed else ""
    lines: list[RenderableType] = [
        f"[bold]{result.version}[/] {verdict}{forced}: {decided - len(failed)} of {decided} criteria of the gate "
        "passed. "
        f"{result.card.words}"
    ]
    lines.append(f"  {escape(result.card.learnt)}")
    lines += [f"  [red]✗[/] {c.name}: needed {c.needed}; found {c.found}" for c in failed]
    lines += [f"  [yellow]![/] audit, {f.check.replace('_', ' ')}: {f.text}" for f in result.findings if f.alarm]
    return lines


def _interval(measure: Measure, sign: str = "") -> str:
    if measure.low is None or measure.high is None:
        return f"{measure.value:{sign}.3f}"
    return f"{measure.value:{sign}.3f} ({measure.low:{sign}.3f} to {measure.high:{sign}.3f})"


def places(results: "list[Result]") -> list[RenderableType]:
    """Say where each outcome's report is, and how to look at the runs."""
    shown = [f"{result.outcome}: {escape(result.report)}" for result in results if result.report]
    return ["[bold]Reports[/]", *shown, "All runs and models: propensity ui"] if shown else []
