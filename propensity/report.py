"""Tables of what was trained and scored."""

from collections.abc import Iterator, Mapping

import polars as pl
from rich.console import RenderableType

from features.definition.schema import Definition
from propensity.console import states_by_tier, table
from serving.batch import BatchResult
from serving.card import Measure, ModelCard
from training.job import Result


def results(results: list[Result]) -> list[RenderableType]:
    """Show each outcome's model in words and numbers beside its best floor, what gate and audit say, and refusals."""
    refused = [
        f"[bold red]{result.outcome} refused[/] {result.refusal.code}: {result.refusal}"
        for result in results
        if result.refusal is not None
    ]
    judged = {r.version: r.card for r in results if r.card is not None and r.version is not None}
    amounts = {version: card for version, card in judged.items() if "normalised_gini" in card.metrics}
    tables = [*_likelihoods({v: c for v, c in judged.items() if v not in amounts}), *_amounts(amounts)]
    return [*tables, *(line for result in results for line in _verdict(result)), *refused]


def _likelihoods(cards: Mapping[str, ModelCard]) -> Iterator[RenderableType]:
    columns: dict[str, list[str]] = {}
    for version, card in cards.items():
        m, test, floors = card.metrics, card.slices["test"], card.floors
        best, floor = max(floors.items(), key=lambda item: item[1]["average_precision"].value)
        columns[version] = [
            f"{test['rows']:,}",
            f"{int(test['positives']) / int(test['rows']):.1%}",
            _interval(m["average_precision"]),
            _interval(m["auc"]),
            f"{m['lift_at_10'].value:.2f}",
            f"{m['calibration_error'].value:.4f}",
            f"{m['observed_over_expected'].value:.3f}",
            f"{best}: AP {floor['average_precision'].value:.3f}, AUC {floor['auc'].value:.3f}",
            _interval(floor["average_precision_behind"], "+"),
        ]
    names = ["test rows", "base rate", "AP", "AUC", "lift@10 %", "calibration error", "observed/expected", "best floor",
             "AP ahead of it"]  # fmt: skip
    if columns:
        yield table("Models, judged on the newest matured users", pl.DataFrame({"": names, **columns}))


def _amounts(cards: Mapping[str, ModelCard]) -> Iterator[RenderableType]:
    columns: dict[str, list[str]] = {}
    for version, card in cards.items():
        m, test, floors = card.metrics, card.slices["test"], card.floors
        best, floor = max(floors.items(), key=lambda item: item[1]["normalised_gini"].value)
        columns[version] = [
            f"{test['rows']:,}",
            f"{card.base_rate:,.2f}",
            _interval(m["normalised_gini"]),
            _interval(m["value_at_10"]),
            f"{m['calibration_error'].value:.1%}",
            f"{m['observed_over_expected'].value:.3f}",
            f"{best}: Gini {floor['normalised_gini'].value:.3f}, {floor['value_at_10'].value:.3f} in the top 10 %",
            _interval(floor["normalised_gini_behind"], "+"),
        ]
    names = ["test rows", "mean", "normalised Gini", "value in the top 10 %", "calibration error of the mean",
             "observed/expected total", "best floor", "Gini ahead of it"]  # fmt: skip
    if columns:
        yield table("Models of value, judged on the same", pl.DataFrame({"": names, **columns}))


def _verdict(result: Result) -> list[RenderableType]:
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
    lines += [f"  [red]✗[/] {c.name}: needed {c.needed}; found {c.found}" for c in failed]
    lines += [f"  [yellow]![/] audit, {f.check.replace('_', ' ')}: {f.text}" for f in result.findings if f.alarm]
    return lines


def _interval(measure: Measure, sign: str = "") -> str:
    if measure.low is None or measure.high is None:
        return f"{measure.value:{sign}.3f}"
    return f"{measure.value:{sign}.3f} ({measure.low:{sign}.3f} to {measure.high:{sign}.3f})"


def batch(result: BatchResult, definition: Definition) -> list[RenderableType]:
    """Show how many users sit in each state and tier, and in each segment."""
    order = list(definition.states)
    grids: list[RenderableType] = [
        table(f"{name}: {rule.question}", states_by_tier(result.states, name, order))
        for name, rule in definition.asked.items()
    ]
    return [*grids, table("Segments", result.segments), f"{result.users:,} records in {result.path}"]


def moves(moved: int | None) -> str:
    """Say how many moves a batch made."""
    if moved is None:
        return "Nobody was moved: a later batch has moved users already."
    return f"{moved:,} moves between states, tiers, groups and segments (propensity transitions)"
