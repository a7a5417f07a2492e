"""Commands that make models and choose the champions."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import PropensityError
from propensity.console import ShownSteps, err, out, progress
from propensity.durations import expected, remember
from propensity.options import AsJson, DefinitionFile, Ends, opened, parse_instant

if TYPE_CHECKING:
    from features.definition import Definition


def train(
    definition: DefinitionFile = None,
    ends: Ends = None,
    outcome: Annotated[list[str] | None, typer.Option(help="train only this outcome; can be repeated")] = None,
    tune: Annotated[int, typer.Option(min=0, help="the number of parameter sets to try for each outcome")] = 0,
    force: Annotated[
        str | None,
        typer.Option(
            help="promote even if the gate fails; give the reason, which is kept. The audit cannot be overridden"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train, evaluate, audit and register a model for each outcome; a model that passes the gate becomes champion.

    Ends with 0 when a model was promoted, 3 when models were trained and none was promoted, 1 when every outcome was
    refused, 2 on an error.
    """
    from propensity.commands.stores import hand_offs_of
    from propensity.tables import json_results, training
    from training.job import train as job

    rules, settings = opened(definition)
    known(outcome or [], rules)
    if force is not None and not force.strip():
        raise PropensityError("--force without a reason.", fix="say why, it is kept: --force 'champion is stale'")
    folder, count, began = settings.folder(rules.name), len(outcome or rules.outcomes), time.monotonic()
    seconds, sentence = expected(folder, count)
    if not tune:
        err.print(sentence, soft_wrap=True, highlight=False)
    with progress() as bars:
        results = job(
            rules, settings, steps=ShownSteps(bars, None if tune else seconds), ends=parse_instant(ends, "--ends"),
            outcomes=outcome, trials=tune, force=force,
            hand_offs=hand_offs_of(rules, settings),
        )  # fmt: skip
    if not tune and all(result.version is not None for result in results):
        remember(folder, count, time.monotonic() - began)
    if as_json:
        typer.echo(json_results.results(results, rules))
    else:
        out.print(*training.results(results), sep="\n")
        out.print(*training.places(results), sep="\n", soft_wrap=True, highlight=False)
    if not any(result.promoted for result in results):
        raise typer.Exit(1 if all(result.version is None for result in results) else 3)


def rollback(
    outcome: Annotated[str, typer.Argument(help="the outcome")],
    definition: DefinitionFile = None,
    reason: Annotated[str, typer.Option(help="why; it is kept with the version")] = "",
) -> None:
    """Make an outcome's previous champion the champion again; a running service loads it within seconds."""
    rules, settings = opened(definition)
    known([outcome], rules)
    from training.registry import Registry  # takes seconds, which a wrong name need not wait for

    was, now = Registry(rules, settings).rollback(outcome, reason)
    out.print(f"{outcome}/{now} is the champion again, in the place of {outcome}/{was}.", highlight=False)


def known(names: list[str], rules: "Definition") -> None:
    """Refuse names of outcomes that the definition does not have.

    Raises:
        PropensityError: one of them is unknown.
    """
    unknown = [name for name in names if name not in rules.outcomes]
    if unknown:
        raise PropensityError(f"unknown outcome {unknown[0]!r}.", fix=f"choose from {', '.join(rules.outcomes)}")
