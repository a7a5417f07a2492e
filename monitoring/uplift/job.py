"""The uplift job: outcomes, features at the assignment, a judgement, everybody's tiers where offered, and a run."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import polars as pl

from features.definition.schema import Definition
from features.errors import ScoringError
from features.events.log import Log
from features.settings import Settings
from features.system.progress import Steps
from monitoring.experiments.frozen import outcomes_of
from monitoring.uplift.fitted import Judged, criteria_of, fitted
from monitoring.uplift.learnt import Arms, arms_of, learn
from monitoring.uplift.publish import as_json, gate, metrics_of, publish
from monitoring.uplift.users import uplift_of_users
from segments.dependencies import uplift_key
from segments.variants import Trial
from serving.activation.memberships import Memberships
from serving.model.registry.loader import Loader
from serving.model.uplift import UpliftModel
from training.registry import Registry

logger = logging.getLogger("propensity")


def uplift(
    log: Log,
    definition: Definition,
    settings: Settings,
    memberships: Memberships,
    trial: Trial,
    variant: str,
    *,
    steps: Steps,
) -> tuple[Judged, Path]:
    """Learn who is moved by a variant, publish it, and register the model, which serves if the gate lets it.

    Args:
        log: the log.
        definition: its features and outcomes.
        settings: where things are kept.
        memberships: who was assigned what.
        trial: the experiment.
        variant: the treated arm.
        steps: shows progress.

    Returns:
        What was learnt, the gate's verdict, and the file of the judgement.

    Raises:
        PropensityError: there is no such variant, the outcome is an amount, or an arm is too small.
        UnavailableError: the model registry does not answer.
    """
    folder = settings.monitoring(definition.name)
    assigned = memberships.assigned(trial.id)
    arms = _arms(log, definition, assigned, trial, variant, folder, steps)
    with steps("learn and judge"):
        found = learn(arms, trial, variant, definition)
        model, champion = fitted(found, arms, trial, definition), _champion(definition, settings, trial.name)
        judged = Judged(found, criteria_of(found, model, arms, assigned, trial, champion))
    users = None
    if judged.offered:
        with steps("predict for everybody", log.runs) as advance:
            users = uplift_of_users(model, log, definition, folder / "uplift.users", progress=advance)
    with steps("register"):
        judged = _registered(Registry(definition, settings), judged, model, champion)
    return judged, publish(judged, users, folder / "uplift")


def _champion(definition: Definition, settings: Settings, experiment: str) -> UpliftModel | None:
    """The uplift model of an experiment that serves; None where there is none, or it cannot be read."""
    loader = Loader(definition, settings)
    promoted = loader.promoted_uplifts().get(experiment)
    try:
        return loader.load_uplift(experiment, promoted.number) if promoted is not None else None
    except ScoringError as error:
        logger.warning("the uplift model that serves is compared with nothing: %s", error)
        return None


def _registered(registry: Registry, judged: Judged, model: UpliftModel, champion: UpliftModel | None) -> Judged:
    """Keep the run and the version; it becomes champion where the gate lets it, or ends the one of its variant."""
    found, key = judged.found, uplift_key(model.card.name)
    of = {"experiment": found.experiment, "variant": found.variant, "outcome": found.outcome, "learner": found.learner}
    texts = {"uplift.json": json.dumps(as_json(judged), indent=1), "gate.json": json.dumps(gate(judged), indent=1)}
    with registry.kept(
        f"uplift/{model.card.name}", f"{found.experiment} {found.variant}",
        parameters=of, metrics=metrics_of(judged), texts=texts,
    ):  # fmt: skip
        number = registry.register_uplift(model)
    if judged.promoted:
        registry.promote(key, number)
    elif champion is not None and champion.card.variant == found.variant:
        registry.withdraw(key, f"{key}/{number}: {judged.words}")
    return replace(judged, version=f"{key}/{number}")


def _arms(
    log: Log, definition: Definition, assigned: pl.DataFrame, trial: Trial, variant: str, folder: Path, steps: Steps
) -> Arms:
    key = (trial.id, trial.rule.primary)
    with steps("label users who were assigned", log.runs) as advance:
        asked = {key: assigned.select("user", "at")}
        labels, _ = outcomes_of(log, definition, asked, folder / "experiments", progress=advance)
    with steps("read features at the assignment", log.runs) as advance:
        return arms_of(trial, variant, assigned, labels[key], log, definition, folder / "uplift.arms", progress=advance)
