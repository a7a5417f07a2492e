"""The training job: log, snapshots, models, registry, profiles online."""

from collections.abc import Sequence
from dataclasses import dataclass

from features.definition.schema import Definition
from features.errors import RefusalError
from features.lock import locked
from features.log.open import open_log
from features.progress import Steps
from features.settings import Settings
from features.snapshot import write_snapshots, write_traits
from features.store import OfflineFeatures
from features.store.objects import snapshots_path, traits_path
from segments.frozen import freeze_cuts
from serving.card import ModelCard
from serving.materialize import materialize
from training.dataset import build
from training.labels import Labels
from training.learn import learn
from training.outcomes import snapshot_cutoffs
from training.registry import Registry


@dataclass(frozen=True, slots=True)
class Result:
    """One outcome's end: a registered model, or a refusal."""

    outcome: str
    version: str | None
    card: ModelCard | None
    refusal: RefusalError | None = None


def train(
    definition: Definition,
    settings: Settings,
    *,
    steps: Steps,
    ends: int | None = None,
    outcomes: Sequence[str] | None = None,
) -> list[Result]:
    """Run the whole job: read, snapshot, fit, judge, register, promote, and put profiles online.

    Args:
        definition: what to train.
        settings: where things are kept.
        steps: shows progress.
        ends: overrides the declared end of the log.
        outcomes: only these.

    Returns:
        A result an outcome; a refused outcome does not stop the others.

    Raises:
        StoreError: another job works on the same definition.
    """
    folder = settings.folder(definition.name)
    with locked(folder):
        log = open_log(definition, settings, ends=ends, steps=steps)
        cutoffs = snapshot_cutoffs(definition, log)
        with steps(f"features at {len(cutoffs)} cutoffs", log.runs) as advance:
            labels = Labels(definition)
            write_snapshots(log, cutoffs, definition, snapshots_path(folder), progress=advance, more=labels)
        if definition.traits is not None:
            write_traits(definition, traits_path(folder))
        with steps("profiles into the online store", log.runs) as advance:
            materialize(log, definition, settings, progress=advance)
        cuts = freeze_cuts(log, definition, settings, int(cutoffs[-1]))
        offline, registry = OfflineFeatures(definition, settings), Registry(definition, settings)
        results = []
        for outcome in outcomes or definition.outcomes:
            try:
                with steps(f"{outcome}: data set through the feature store"):
                    data = build(snapshots_path(folder), offline, definition, outcome)
                with steps(f"{outcome}: fit, calibrate, judge"):
                    trained = learn(data, definition, cuts)
                with steps(f"{outcome}: register"):
                    version = registry.register(trained, log.ends)
                results.append(Result(outcome, version, trained.model.card))
            except RefusalError as refusal:
                results.append(Result(outcome, None, None, refusal))
        return results
