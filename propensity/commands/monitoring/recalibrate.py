"""The command that moves a champion's answers to what came true."""

from typing import Annotated

import typer

from propensity.commands.train import known
from propensity.console import ShownSteps, out, progress
from propensity.options import AsJson, DefinitionFile, Since, opened, parse_instant


def recalibrate(
    outcome: Annotated[str, typer.Argument(help="the outcome")],
    definition: DefinitionFile = None,
    as_of: Annotated[
        str | None, typer.Option(help="use only labels that were known by this instant (UTC), such as 2026-03-01")
    ] = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Move a champion's answers to the level that came true: a new version with the same order of users.

    Fitted on the matured predictions of untreated users that propensity monitor has kept. Ends with 0 when the version
    was promoted, 3 when it was registered and not promoted, 4 when it was refused, 2 on an error. With --since, only
    predictions from that instant on count: since the level has been what it is.
    """
    from monitoring.recalibration.job import recalibrate as job
    from propensity.tables import json_results, training

    rules, settings = opened(definition)
    known([outcome], rules)
    with progress() as bars:
        result = job(
            rules, settings, outcome, steps=ShownSteps(bars), as_of=parse_instant(as_of, "--as-of"),
            since=parse_instant(since, "--since") or 0,
        )  # fmt: skip
    if as_json:
        typer.echo(json_results.recalibrated(result))
    else:
        out.print(*training.recalibrated(result), sep="\n")
    if not result.promoted:
        raise typer.Exit(4 if result.version is None else 3)
