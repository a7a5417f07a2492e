"""Commands that compare predictions with outcomes."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import PropensityError
from propensity.commands.experiment import read as read_experiments
from propensity.commands.stores import memberships_of
from propensity.console import ShownSteps, out, progress
from propensity.options import AsJson, DefinitionFile, Ends, Since, opened, parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from features.definition import Definition
    from features.settings import Settings
    from serving.model.model import Model


def monitor(
    definition: DefinitionFile = None,
    ends: Ends = None,
    strict: Annotated[bool, typer.Option(help="end with 1 where there is an alarm")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare predictions with outcomes: each batch once it has matured, by model, tier, state, tenure and trait.

    The definition's experiments are read out with it, for the service and the page (see propensity experiment).

    Run it after each propensity score; it catches up on batches it has not seen.
    """
    from features.event_store.open import open_log
    from features.system.lock import locked, sharing
    from monitoring.monitor import content
    from monitoring.monitor import monitor as run
    from propensity.tables import monitoring
    from serving.model.loader import Loader

    rules, settings = opened(definition)
    models = Loader(rules, settings).champions()
    with progress() as bars, sharing(settings.folder(rules.name)):
        steps = ShownSteps(bars)
        log = open_log(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        with locked(settings.monitoring(rules.name)), steps("label matured predictions", log.runs) as advance:
            found = run(
                log, rules, settings, memberships_of(rules, settings), through(rules, models), models=models,
                progress=advance,
            )  # fmt: skip
        if rules.experiments:
            with locked(settings.monitoring(rules.name)):
                read_experiments(rules, settings, log, steps)
    if as_json:
        typer.echo(json.dumps(content(found, rules), indent=1))
    else:
        out.print(*monitoring.page(found, rules), sep="\n")
    if strict and any(one.alarm for one in found.findings):
        raise typer.Exit(1)


def effect(
    audience: Annotated[
        str | None, typer.Argument(help="only this one, such as segments.cart_abandoned_24h or tiers.churn.most_likely")
    ] = None,
    definition: DefinitionFile = None,
    since: Since = None,
    ends: Ends = None,
    as_json: AsJson = False,
) -> None:
    """Read out the holdout: what happened to users who were handed off, beside those who were held out.

    Of each audience that a destination receives, everybody who entered it since an instant counts in the arm assigned
    then. Set --since to when the destination began to receive it.
    """
    from features.event_store.open import open_log
    from features.system.lock import locked, sharing
    from monitoring.read_out import read_outs
    from propensity.tables import monitoring
    from serving.activation.hand_offs import HandOffs

    rules, settings = opened(definition)
    if not any(one.kind != "notice" for one in rules.destinations.values()):
        raise PropensityError(
            "the definition has no destination that acts on users, so there is no effect to read out.",
            fix="add one to 'destinations', with a holdout",
        )
    with progress() as bars, sharing(settings.folder(rules.name)):
        steps = ShownSteps(bars)
        log = open_log(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        folder = settings.monitoring(rules.name)
        with locked(folder), steps("label users who entered", log.runs) as advance:
            hand_offs = HandOffs(rules, memberships_of(rules, settings))
            found = read_outs(
                log, rules, hand_offs, folder / "entered", since=parse_instant(since, "--since") or 0,
                audience=audience, progress=advance,
            )  # fmt: skip
    if as_json:
        typer.echo(json.dumps({"read_outs": [monitoring.as_json(one) for one in found]}, indent=1))
    else:
        out.print(*monitoring.effects(found, rules), sep="\n")


def fitted_through(rules: "Definition", settings: "Settings") -> dict[str, int]:
    """Of each champion the newest cutoff that it was fitted on."""
    from serving.model.loader import Loader

    return through(rules, Loader(rules, settings).champions())


def through(rules: "Definition", champions: "Mapping[str, Model]") -> dict[str, int]:
    """The same of champions that are loaded."""
    from datetime import UTC, datetime

    from features.time import to_instant

    return {
        name: to_instant(datetime.fromisoformat(model.card.trained_through).replace(tzinfo=UTC))
        for name, model in champions.items()
        if name in rules.outcomes
    }
