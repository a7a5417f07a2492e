"""The training job: log, snapshots, models, registry, profiles online."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.errors import RefusalError
from features.events import EventLog, Events
from features.fold import feature_rows, profiles_at, read_all_at
from features.profile import layout_of
from features.progress import Progress, Steps
from features.rows import INSTANT
from features.settings import Settings
from features.snapshot import write_snapshots, write_traits
from features.store import OfflineFeatures, OnlineProfiles
from features.store.objects import profiles_path, snapshots_path, traits_path
from features.time import to_datetime
from segments.evaluator import Evaluator
from segments.rfm import RfmCuts, fit_cuts, rfm_expressions
from segments.tiers import fit_tiers
from serving.card import Measure, ModelCard
from serving.model import Floats, Model
from serving.rows import latest_traits
from training.dataset import Dataset, build
from training.evaluate import by_group, evaluate
from training.fit import Fitted, fit
from training.floors import floors
from training.outcomes import snapshot_cutoffs
from training.plots import Judged, calibration, gains, importance, lift
from training.registry import Registry, Trained


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
    """
    folder = settings.folder(definition.name)
    with steps("read the event log"):
        events = EventLog(definition, ends=ends).read()
    cutoffs = snapshot_cutoffs(definition, events)
    with steps(f"features at {len(cutoffs)} cutoffs", len(events.users)) as advance:
        write_snapshots(events, cutoffs, definition, snapshots_path(folder), progress=advance)
    if definition.traits is not None:
        write_traits(definition, traits_path(folder))
    with steps("profiles into the online store", len(events.users)) as advance:
        write_profiles(events, definition, settings, progress=advance)
    cuts = frozen_rfm(events, definition, settings, int(cutoffs[-1]))
    store, registry = OfflineFeatures(definition, settings), Registry(definition, settings)
    results = []
    for outcome in outcomes or definition.outcomes:
        try:
            with steps(f"{outcome}: data set through the feature store"):
                data = build(events, snapshots_path(folder), store, definition, outcome)
            with steps(f"{outcome}: fit, calibrate, judge"):
                trained = train_outcome(data, definition, cuts)
            with steps(f"{outcome}: register"):
                version = registry.register(trained, events.ends)
            results.append(Result(outcome, version, trained.model.card))
        except RefusalError as refusal:
            results.append(Result(outcome, None, None, refusal))
    return results


def write_profiles(events: Events, definition: Definition, settings: Settings, *, progress: Progress) -> int:
    """Fold every user through the log's end; keep the packed profiles as Parquet and put them online."""
    layout, online = layout_of(definition), OnlineProfiles(definition, settings, apply=True)
    traits = latest_traits(definition, events.ends)
    names = feature_set(definition).traits
    known = {row[0]: dict(zip(names, row[1:], strict=True)) for row in traits.rows()} if traits is not None else {}
    frames, written = [], 0
    for first, words in profiles_at(events, events.ends, layout):
        users = events.users[first : first + len(words)].to_list()
        seen = [(u, online.pack(w, events.ends, known.get(u, {}))) for u, w in zip(users, words, strict=True) if w[0]]
        written += online.write([u for u, _ in seen], [p for _, p in seen])
        frames.append(pl.DataFrame({"user": [u for u, _ in seen], "profile": [p.to_bytes() for _, p in seen]}))
        progress(len(words))
    through = pl.lit(events.ends).cast(INSTANT).alias("through")
    path = profiles_path(settings.folder(definition.name))
    pl.concat(frames).with_columns(through).write_parquet(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    return written


def frozen_rfm(events: Events, definition: Definition, settings: Settings, cutoff: int) -> RfmCuts | None:
    """The kept RFM cut-offs; fitted at the cutoff when there are none yet, or when the rule changed."""
    if definition.rfm is None:
        return None
    path = settings.folder(definition.name) / f"rfm-{feature_set(definition).digest}.json"
    if not path.exists():
        rows = pl.concat(feature_rows(events, read_all_at(events, np.array([cutoff])), definition))
        fit_cuts(rows, definition.rfm, to_datetime(cutoff).isoformat()).save(path)
    return RfmCuts.load(path)


def train_outcome(data: Dataset, definition: Definition, cuts: RfmCuts | None) -> Trained:
    """Fit an outcome's model and judge it on the test slice beside the floors."""
    fitted = fit(data, definition)
    calibrated = data.part("calibrate")
    draft = _model(data, definition, fitted, probabilities=None, base_rate=0.0)
    p_calibrate = draft.probabilities(draft.matrix(calibrated))
    base_rate = float(calibrated["label"].to_numpy().mean())
    model = _model(data, definition, fitted, probabilities=p_calibrate, base_rate=base_rate)

    test = data.part("test")
    matrix = model.matrix(test)
    probability = model.probabilities(matrix)
    state = Evaluator.of(definition.states).first().alias("state")
    states = {
        name: data.part(name).with_columns(rfm_expressions(definition, cuts)).select(state)["state"]
        for name in ("fit", "test")
    }
    simple = floors(data, definition, states)
    labels = test["label"].to_numpy().astype(np.float64)
    scores = {"model": probability, **simple}
    seed = definition.training.seed
    judged = evaluate(scores, labels, test["user"], seed=seed, against="model")
    metrics = judged.pop("model") | _of_unseen(probability, labels, test, seed)
    model = Model(
        model.booster,
        model.numbers,
        model.card.model_copy(update={"metrics": metrics, "floors": judged}),
        model.version,
    )
    pictures = Judged(f"{data.outcome} ({model.card.question})", labels, probability, simple)
    sample = matrix[np.random.default_rng(seed).permutation(len(matrix))[:1_000]]
    names = [*model.card.features, *model.card.categories]
    return Trained(
        model=model,
        parameters=fitted.parameters,
        figures={
            "gains.png": gains(pictures),
            "lift.png": lift(pictures),
            "calibration.png": calibration(pictures),
            "importance.png": importance(data.outcome, names, model.effects(sample)),
        },
        tables={
            "by_state.csv": by_group(probability, test, states["test"]),
            "by_snapshot.csv": by_group(probability, test, test["cutoff"].dt.to_string("%Y-%m-%dT%H:%M")),
            "base_rates.csv": data.previewed,
        },
    )


def _of_unseen(probability: Floats, labels: Floats, test: pl.DataFrame, seed: int) -> dict[str, Measure]:
    """AUC and average precision on the users no slice but the test has held."""
    held = test["unseen"].to_numpy()
    if not 0 < labels[held].sum() < held.sum():
        return {}
    found = evaluate(
        {"m": probability[held]}, labels[held], test["user"].filter(test["unseen"]), seed=seed, against="m"
    )
    return {f"unseen_{key}": found["m"][key] for key in ("auc", "average_precision")}


def _model(
    data: Dataset, definition: Definition, fitted: Fitted, *, probabilities: Floats | None, base_rate: float
) -> Model:
    rule = definition.outcomes[data.outcome]
    p = np.zeros(1) if probabilities is None else probabilities
    slices = data.summary()
    card = ModelCard(
        outcome=data.outcome,
        question=rule.question,
        among=rule.among,
        gap=rule.gap,
        horizon=rule.within,
        definition=definition.version,
        feature_digest=feature_set(definition).digest,
        features=list(feature_set(definition).numeric),
        categories=fitted.categories,
        tiers=fit_tiers(rule.tiers, p, base_rate),
        percentiles=np.quantile(p, np.linspace(0, 1, 101)).tolist(),
        base_rate=base_rate,
        trained_from=str(slices["fit"]["first_cutoff"]),
        trained_through=str(slices["fit"]["last_cutoff"]),
        slices=slices,
        metrics={},
        floors={},
    )
    return Model(fitted.booster, fitted.numbers, card, f"{data.outcome}/new")
