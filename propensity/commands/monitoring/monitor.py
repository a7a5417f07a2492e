"""Commands that compare predictions with outcomes."""

import json
import logging
import math
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import PropensityError
from propensity.commands.monitoring.experiment import read as read_experiments
from propensity.commands.stores import memberships_of
from propensity.console import ShownSteps, out, progress
from propensity.options import AsJson, DefinitionFile, Ends, Since, opened, parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from features.definition import Definition
    from features.settings import Settings
    from monitoring.monitor import Monitored
    from monitoring.operations import Running
    from serving.activation.memberships import Memberships
    from serving.model.model import Model

log = logging.getLogger("propensity")


def monitor(
    definition: DefinitionFile = None,
    ends: Ends = None,
    as_of: Annotated[
        str | None,
        typer.Option(help="judge batches, profiles and destinations by this instant; the log's end by default"),
    ] = None,
    strict: Annotated[bool, typer.Option(help="end with 1 where there is an alarm")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare predictions with outcomes: each batch once it has matured, by model, tier, state, tenure and trait.

    The definition's experiments are read out with it, for the service and the page (see propensity experiment).

    Run it after each propensity score; it catches up on batches it has not seen. It also says where batches, profiles,
    segments and destinations do not go as usual, and tells destinations of kind notice of each new finding.
    """
    from features.open_log import open_log
    from features.system.files.lock import locked, sharing
    from monitoring.monitor import content
    from monitoring.monitor import monitor as run
    from propensity.tables import monitoring
    from serving.model.registry.loader import Loader

    rules, settings = opened(definition)
    models, instant = Loader(rules, settings).champions(), parse_instant(as_of, "--as-of")
    memberships, folder = memberships_of(rules, settings), settings.monitoring(rules.name)
    with progress() as bars, sharing(settings.folder(rules.name)):
        steps = ShownSteps(bars)
        log = open_log(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        with locked(folder):
            running = running_of(rules, settings, memberships)
            with steps("label matured predictions", log.runs) as advance:
                found = run(
                    log, rules, settings, memberships, through(rules, models), running, models=models, as_of=instant,
                    progress=advance,
                )  # fmt: skip
            if rules.experiments:
                read_experiments(rules, settings, memberships, log, steps)
            tell(found, rules, settings)
    if as_json:
        typer.echo(json.dumps(content(found, rules), indent=1))
    else:
        out.print(*monitoring.page(found, rules), sep="\n")
    if strict and any(one.alarm for one in found.findings):
        raise typer.Exit(1)


def running_of(rules: "Definition", settings: "Settings", memberships: "Memberships") -> "Running":
    """How batches, profiles, segments and destinations go."""
    from features.feature_store.objects import profiles_path
    from features.profile.stored import Profiles
    from features.time import to_instant
    from monitoring.kpis.audiences import Audiences
    from monitoring.operations import Running
    from serving.scoring.earlier.batch import Earlier

    batches = [to_instant(one.as_of) for one in Earlier.every(settings.scores(rules.name))]
    kept = Profiles(rules, profiles_path(rules, settings.folder(rules.name))).manifest
    audiences = Audiences(rules, memberships).over_time(0)
    return Running(batches, kept.through if kept is not None else None, audiences, memberships.outbox.status())


def tell(found: "Monitored", rules: "Definition", settings: "Settings") -> None:
    """Log alarms, tag the models that they are about, and send notices of new findings; what fails is only logged."""
    from monitoring.notices import send_notices

    for one in found.findings:
        if one.alarm:
            log.warning("%s: %s", one.name, one.words, extra={"outcome": one.outcome, "finding": one.name})
    try:
        tag(found, rules, settings)
    except PropensityError as error:
        log.warning("models are not tagged with what was found: %s", error)
    for name, why in send_notices(found.findings, rules, found.folder).items():
        log.warning("no notice reached destination %s: %s", name, why)


def tag(found: "Monitored", rules: "Definition", settings: "Settings") -> None:
    """Tag the version of each outcome's model that was compared last with what was found."""
    compared = {name: one for name, one in found.realised.items() if len(one.batches)}
    if not compared:
        return
    from training.registry import Registry

    registry = Registry(rules, settings)
    for name, one in compared.items():
        names = [finding.name for finding in found.findings if finding.outcome == name]
        version = str(one.batches["version"][-1]).partition("@")[0].rpartition("/")[2]
        ratio = one.level.ratio if one.level is not None and math.isfinite(one.level.ratio) else None
        registry.monitored(name, version, findings=names, ratio=ratio, as_of=found.through)


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
    from features.open_log import open_log
    from features.system.files.lock import locked, sharing
    from monitoring.experiments.holdout import holdout_effects
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
            found = holdout_effects(
                log, rules, hand_offs, folder / "entered", since=parse_instant(since, "--since") or 0,
                audience=audience, progress=advance,
            )  # fmt: skip
    if as_json:
        typer.echo(json.dumps({"read_outs": [monitoring.as_json(one) for one in found]}, indent=1))
    else:
        out.print(*monitoring.effects(found, rules), sep="\n")


def fitted_through(rules: "Definition", settings: "Settings") -> dict[str, int]:
    """Of each champion the newest cutoff that it was fitted on."""
    from serving.model.registry.loader import Loader

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
