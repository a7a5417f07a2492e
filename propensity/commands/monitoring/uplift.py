"""The command that learns from an experiment who is moved by acting."""

import json
from typing import Annotated

import typer

from propensity.commands.stores import memberships_of
from propensity.console import ShownSteps, out, progress
from propensity.options import AsJson, DefinitionFile, Ends, opened, parse_instant


def uplift(
    experiment: Annotated[str, typer.Argument(help="an experiment that has matured")],
    variant: Annotated[str | None, typer.Option(help="its variant; the first that acts when left out")] = None,
    definition: DefinitionFile = None,
    ends: Ends = None,
    as_json: AsJson = False,
) -> None:
    """Learn who is moved by a variant, and judge it on users the model has not seen.

    Only where it ranks users beyond noise are tiers offered (persuadable, sure_thing, lost_cause, do_not_disturb,
    unsure), for everybody, in a Parquet file, and the model serves: records have them, and segments may name them. Each
    run is kept in MLflow, each model registered. Ends with 3 where nothing is offered.
    """
    from features.definition.sections.experiment import NOTHING
    from features.open_log import open_log
    from features.system.files.lock import locked, sharing
    from monitoring.experiments.publish import find
    from monitoring.uplift.job import uplift as job
    from monitoring.uplift.publish import as_json as content
    from propensity.tables import experiments

    rules, settings = opened(definition)
    memberships = memberships_of(rules, settings)
    trial = find(rules, memberships, experiment)
    acting = variant or next(name for name in trial.rule.variants if name != NOTHING)
    with progress() as bars, sharing(settings.folder(rules.name)):
        steps = ShownSteps(bars)
        log = open_log(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        with locked(settings.monitoring(rules.name)):
            judged, written = job(log, rules, settings, memberships, trial, acting, steps=steps)
    if as_json:
        typer.echo(json.dumps(content(judged), indent=1))
    else:
        out.print(*experiments.uplift(judged, written), sep="\n")
    if not judged.offered:
        raise typer.Exit(3)
