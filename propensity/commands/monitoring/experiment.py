"""The command that reads out experiments."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import PropensityError
from propensity.commands.stores import memberships_of
from propensity.console import ShownSteps, err, out, progress
from propensity.options import AsJson, DefinitionFile, Ends, opened, parse_instant

if TYPE_CHECKING:
    from features.definition import Definition
    from features.events.log import Log
    from features.settings import Settings
    from features.system.progress import Steps
    from monitoring.experiments.read_out import ReadOut
    from serving.activation.memberships import Memberships


def experiment(
    name: Annotated[
        str | None,
        typer.Argument(help="only this one; one that was edited since by its id, as winback@3f9c2a1b"),
    ] = None,
    definition: DefinitionFile = None,
    ends: Ends = None,
    any_time: Annotated[
        bool, typer.Option(help="intervals that may be looked at at any time, in place of the planned looks")
    ] = False,
    enrol: Annotated[
        bool, typer.Option("--enrol", help="first assign everybody who is in its audience now, and hand them off")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read out experiments: each variant beside nothing, on the outcomes of all who were assigned.

    Users who enter the audience are assigned by themselves; those who are in it already take part with --enrol.
    Nothing is compared before the first planned look has matured, and nothing at all where the arms are not as planned.
    """
    from features.open_log import open_log
    from features.system.files.lock import locked, sharing
    from monitoring.experiments.power import power_of
    from monitoring.experiments.publish import shape_of
    from propensity.tables import experiments

    rules, settings = opened(definition)
    if name is None and not rules.experiments:
        raise PropensityError(
            "the definition has no experiments.", fix="add one to 'experiments' (docs/how-to/experiments.md)"
        )
    memberships = memberships_of(rules, settings)
    with progress() as bars, sharing(settings.folder(rules.name)):
        steps = ShownSteps(bars)
        log = open_log(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        if enrol:
            with steps("assign who is in the audience"):
                enrolled(rules, settings, memberships, name)
        with locked(settings.monitoring(rules.name)):
            found = read(rules, settings, memberships, log, steps, name=name, at_any_time=any_time)
    scores = settings.scores(rules.name)
    powers = {one.trial.id: power_of(one.trial, rules, memberships, scores, one.through) for one in found}
    if as_json:
        shown = [shape_of(one).model_dump(mode="json") | {"power": asdict(powers[one.trial.id])} for one in found]
        typer.echo(json.dumps({"experiments": shown}, indent=1))
    else:
        out.print(*experiments.page(found, powers, rules), sep="\n")


def enrolled(rules: "Definition", settings: "Settings", memberships: "Memberships", name: str | None) -> None:
    """Assign everybody who is in the audience of an experiment.

    Raises:
        PropensityError: no experiment is named, or an earlier one, or it does not recruit at the newest batch.
    """
    from features.system.files.lock import locked
    from segments.variants import trials
    from serving.activation.transitions import TransitionRecorder

    now = {one.name: one for one in trials(rules).values()}
    if name not in now:
        raise PropensityError(
            f"--enrol needs one experiment of the definition, found {name!r}.", fix=f"name one of {', '.join(now)}"
        )
    scores = settings.scores(rules.name)
    with locked(scores):  # nobody is moved by a batch meanwhile
        count = TransitionRecorder(rules, memberships, scores).enrol(now[name])
    err.print(f"{count:,} users were assigned.", highlight=False)


def read(
    rules: "Definition",
    settings: "Settings",
    memberships: "Memberships",
    log: "Log",
    steps: "Steps",
    *,
    name: str | None = None,
    at_any_time: bool = False,
) -> list["ReadOut"]:
    """Read out one experiment, or all of them, and publish those that are defined as they are now planned."""
    from monitoring.experiments.power import power_of
    from monitoring.experiments.publish import find, publish, read_outs
    from segments.variants import trials

    memberships.known()  # keeps what the definition says of its experiments now
    now = list(trials(rules).values())
    asked = [find(rules, memberships, name)] if name is not None else now
    folder = settings.monitoring(rules.name)
    with steps("label users who were assigned", log.runs) as advance:
        found = read_outs(asked, log, rules, memberships, folder, at_any_time=at_any_time, progress=advance)
    if name is None and not at_any_time:
        scores = settings.scores(rules.name)
        powers = {one.trial.id: power_of(one.trial, rules, memberships, scores, one.through) for one in found}
        publish(found, powers, folder, rules)
    return found
