"""The uplift job: outcomes, features at the assignment, a judgement, everybody's tiers where offered, and a run."""

import json
from pathlib import Path

from features.definition.schema import Definition
from features.events.log import Log
from features.settings import Settings
from features.system.progress import Steps
from monitoring.experiments.frozen import outcomes_of
from monitoring.uplift.learnt import Arms, Uplift, arms_of, learn
from monitoring.uplift.publish import as_json, metrics_of, publish
from monitoring.uplift.users import uplift_of_users
from segments.variants import Trial
from serving.activation.memberships import Memberships
from training.registry import Registry


def uplift(
    log: Log,
    definition: Definition,
    settings: Settings,
    memberships: Memberships,
    trial: Trial,
    variant: str,
    *,
    steps: Steps,
) -> tuple[Uplift, Path]:
    """Learn who is moved by a variant, publish it, and keep it in MLflow.

    Args:
        log: the log.
        definition: its features and outcomes.
        settings: where things are kept.
        memberships: who was assigned what.
        trial: the experiment.
        variant: the treated arm.
        steps: shows progress.

    Returns:
        What was learnt, and the file of its judgement.

    Raises:
        PropensityError: there is no such variant, the outcome is an amount, or an arm is too small.
        UnavailableError: the model registry does not answer.
    """
    folder = settings.monitoring(definition.name)
    arms = _arms(log, definition, memberships, trial, variant, folder, steps)
    with steps("learn and judge"):
        found = learn(arms, trial, variant, definition)
    users = None
    if found.offered:
        with steps("predict for everybody", log.runs) as advance:
            users = uplift_of_users(found, arms, log, definition, folder / "uplift.users", progress=advance)
    written = publish(found, users, folder / "uplift")
    of = {"experiment": trial.id, "variant": variant, "outcome": found.outcome, "learner": found.learner}
    texts = {"uplift.json": json.dumps(as_json(found), indent=1)}
    Registry(definition, settings).keep(
        f"uplift/{trial.name}", f"{trial.id} {variant}", parameters=of, metrics=metrics_of(found), texts=texts
    )
    return found, written


def _arms(
    log: Log, definition: Definition, memberships: Memberships, trial: Trial, variant: str, folder: Path, steps: Steps
) -> Arms:
    key, assigned = (trial.id, trial.rule.primary), memberships.assigned(trial.id)
    with steps("label users who were assigned", log.runs) as advance:
        asked = {key: assigned.select("user", "at")}
        labels, _ = outcomes_of(log, definition, asked, folder / "experiments", progress=advance)
    with steps("read features at the assignment", log.runs) as advance:
        return arms_of(trial, variant, assigned, labels[key], log, definition, folder / "uplift.arms", progress=advance)
