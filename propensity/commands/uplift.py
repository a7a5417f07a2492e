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

    Only where it ranks users beyond noise are tiers offered (persuadable, sure thing, lost cause, do not disturb,
    unsure), for everybody, in a Parquet file. Each run is kept in MLflow. Ends with 3 where nothing is offered.
    """
    from features.definition.sections.experiment import NOTHING
    from features.event_store.open import open_log
    from features.system.lock import locked, sharing
    from monitoring.experiments.frozen import outcomes_of
    from monitoring.experiments.publish import find
    from monitoring.uplift.learnt import arms_of, learn
    from monitoring.uplift.publish import as_json as content
    from monitoring.uplift.publish import metrics_of, publish
    from monitoring.uplift.users import uplift_of_users
    from propensity.tables import experiments
    from training.registry import Registry

    rules, settings = opened(definition)
    memberships = memberships_of(rules, settings)
    trial = find(rules, memberships, experiment)
    acting = variant or next(name for name in trial.rule.variants if name != NOTHING)
    folder = settings.monitoring(rules.name)
    with progress() as bars, sharing(settings.folder(rules.name)):
        steps = ShownSteps(bars)
        log = open_log(rules, settings, ends=parse_instant(ends, "--ends"), steps=steps)
        with locked(folder):
            key = (trial.id, trial.rule.primary)
            assigned = memberships.assigned(trial.id)
            with steps("label users who were assigned", log.runs) as advance:
                asked = {key: assigned.select("user", "at")}
                labels, _ = outcomes_of(log, rules, asked, folder / "experiments", progress=advance)
            with steps("read features at the assignment", log.runs) as advance:
                arms = arms_of(
                    trial, acting, assigned, labels[key], log, rules, folder / "uplift.arms", progress=advance
                )
            with steps("learn and judge"):
                found = learn(arms, trial, acting, rules)
            users = None
            if found.offered:
                with steps("predict for everybody", log.runs) as advance:
                    users = uplift_of_users(found, arms, log, rules, folder / "uplift.users", progress=advance)
            written = publish(found, users, folder / "uplift")
    Registry(rules, settings).keep(
        f"uplift/{trial.name}", f"{trial.id} {acting}",
        parameters={"experiment": trial.id, "variant": acting, "outcome": found.outcome, "learner": found.learner},
        metrics=metrics_of(found), texts={"uplift.json": json.dumps(content(found), indent=1)},
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(content(found), indent=1))
    else:
        out.print(*experiments.uplift(found, written), sep="\n")
    if not found.offered:
        raise typer.Exit(3)
