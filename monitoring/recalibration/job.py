"""The recalibration job: labels that the monitor has kept, a proposal, parity, registry, and the gate."""

import json
from collections.abc import Mapping
from dataclasses import replace

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.errors import PropensityError, RefusalError
from features.open_log import open_log
from features.settings import Settings
from features.system.files.lock import locked
from features.system.progress import Steps
from features.time import to_datetime
from monitoring.matured import kept
from monitoring.recalibration.proposal import Proposal, propose
from monitoring.recalibration.refused import Refusals
from serving.model.card import Recalibrated
from serving.model.model import Model
from serving.model.recalibrated import recalibrated
from serving.model.registry.loader import Loader
from serving.upkeep.materialize import materialize
from training.evaluation.consistency import parity, saved_alike
from training.evaluation.gate import Criterion, passes
from training.evaluation.protocol import protocol_of
from training.job import Result
from training.registry import Registry


def recalibrate(
    definition: Definition, settings: Settings, outcome: str, *, steps: Steps, as_of: int | None = None, since: int = 0
) -> Result:
    """Make a version of the champion whose answers are as large as what came true; the gate decides whether it serves.

    Args:
        definition: the definition.
        settings: where things are kept.
        outcome: which question.
        steps: shows progress.
        as_of: only labels that were known by this instant; by the end of the log where left out.
        since: only predictions from this instant on: since the level has been what it is.

    Returns:
        A version, or a refusal.

    Raises:
        PropensityError: the outcome has no champion.
        StoreError: another job works on the same definition.
        UnavailableError: the model registry does not answer, or is damaged.
    """
    registry, run = Registry(definition, settings), ""
    champion = _champion(definition, settings, outcome)
    with locked(settings.folder(definition.name)):
        log = open_log(definition, settings, ends=None, steps=steps)
        at = log.ends if as_of is None else as_of
        try:
            with registry.run(outcome, at) as run:
                _same_features(champion, definition)
                with steps(f"{outcome}: matured labels, fit, judge"):
                    rows, seed = kept(definition, settings, outcome, since, at), definition.training.seed
                    rule, draws = definition.outcomes[outcome], definition.gate.draws
                    found = propose(rows, outcome, rule, champion.version, seed=seed, draws=draws)
                with steps("profiles into the online store", log.runs) as advance:
                    materialize(log, definition, settings, progress=advance)
                model = _model(champion, found, definition, at)
                with steps("ask the service"):
                    both = parity(log, definition, settings, settings.folder(definition.name) / "probe")
                criteria = [*found.criteria, saved_alike(model, both)]
                with steps(f"{outcome}: register"):
                    result = _registered(registry, model, found, criteria)
        except RefusalError as refusal:
            result = Result(outcome, None, None, refusal=refusal)
        if as_of is None and not since:
            refusals = Refusals(definition, settings)
            refusals.keep(outcome, None if result.promoted else refusals.now(outcome, champion.version, at))
    return replace(result, run=run)


def _champion(definition: Definition, settings: Settings, outcome: str) -> Model:
    loader = Loader(definition, settings)
    version = loader.versions().get(outcome)
    if version is None:
        raise PropensityError(
            f"{outcome} has no champion to recalibrate. {loader.absence()}",
            fix=f"train one: propensity train --outcome {outcome}",
        )
    return loader.load(outcome, version)


def _same_features(champion: Model, definition: Definition) -> None:
    """A version that cannot serve is not worth a new level.

    Raises:
        RefusalError: ``feature_digest_mismatch``.
    """
    digest = feature_set(definition).digest
    if champion.card.feature_digest != digest:
        raise RefusalError(
            "feature_digest_mismatch",
            found=f"{champion.version} of feature set {champion.card.feature_digest}",
            needed=f"feature set {digest} of {definition.version}",
            fix="train again, or take the definition that the model was trained with",
        )


def _model(champion: Model, found: Proposal, definition: Definition, as_of: int) -> Model:
    """The champion with its answers moved, and the metrics of level of the users it was judged on."""
    by, rule = found.by, definition.outcomes[champion.card.outcome]
    note = Recalibrated(
        parent=champion.version, slope=by.slope, offset=by.offset, scale=by.scale, users=found.users,
        effective=found.effective, events=found.events, as_of=to_datetime(as_of).isoformat(),
    )  # fmt: skip
    model = recalibrated(champion, by, note)
    card = model.card.model_copy(update={"metrics": {**model.card.metrics, **found.metrics}})
    words = protocol_of(rule).words(card)
    return replace(model, card=card.model_copy(update={"words": words}))


def _registered(registry: Registry, model: Model, found: Proposal, criteria: list[Criterion]) -> Result:
    """Register the model, and make it the champion if the gate lets it."""
    passed, outcome = passes(criteria), model.card.outcome
    note = model.card.recalibrated
    if note is None:
        raise ValueError(f"{model.version} was not recalibrated")
    note = note.model_copy(update={"words": verdict(note, criteria, found)})
    model = replace(model, card=model.card.model_copy(update={"recalibrated": note}))
    tags = _tags(note)
    levels = {"observed_over_expected.before": found.before.ratio, "observed_over_expected.after": found.after.ratio}
    measured = {name: measure.value for name, measure in model.card.metrics.items()}
    texts = {
        "card.json": model.card.model_dump_json(indent=2),
        "gate.json": json.dumps([c.content for c in criteria], indent=2),
    }
    registry.note(tags, {**measured, **levels}, texts)
    version = registry.register(model, tags)
    if passed:
        registry.promote(outcome, version)
    return Result(outcome, f"{outcome}/{version}", model.card, criteria, promoted=passed)


def _tags(note: Recalibrated) -> Mapping[str, str]:
    """What a version of this kind is tagged with, and its run's parameters."""
    found = {"parent": note.parent, "slope": f"{note.slope:.6g}", "offset": f"{note.offset:.6g}",
             "scale": "" if note.scale is None else f"{note.scale:.6g}", "users": str(note.users),
             "effective_users": f"{note.effective:.1f}", "events": str(note.events), "as_of": note.as_of,
             "verdict": note.words}  # fmt: skip
    return {f"recalibrated.{name}": text for name, text in found.items() if text}


def verdict(note: Recalibrated, criteria: list[Criterion], found: Proposal) -> str:
    """What the gate decided, and why, in two sentences."""
    failed = [c for c in criteria if c.passed is False]
    change = (
        f"{note.how}: observed over expected {found.before.ratio:.3f} before, {found.after.ratio:.3f} "
        f"({found.after.low:.3f} to {found.after.high:.3f}) after on users not used in the fit"
    )
    if not failed:
        return f"Promoted in the place of {note.parent}. {change[0].upper()}{change[1:]}; {criteria[0].found}."
    why = "; ".join(f"{c.name}: needed {c.needed}, found {c.found}" for c in failed)
    return f"Not promoted, {note.parent} stays. {change[0].upper()}{change[1:]}. {why[0].upper()}{why[1:]}."
