"""One outcome, learnt: fitted, calibrated, judged beside the floors, and drawn."""

from dataclasses import replace

import numpy as np
import polars as pl

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.snapshot import WEIGHT
from segments.evaluator import Evaluator
from segments.rfm import RfmCuts, with_rfm
from segments.tiers import fit_tiers
from serving.card import Measure, ModelCard
from serving.model import Floats, Model
from training.dataset import Dataset
from training.evaluate import by_group, evaluate
from training.fit import Fitted, fit
from training.floors import floors
from training.plots import Judged, calibration, gains, importance, lift
from training.registry import Trained


def learn(data: Dataset, definition: Definition, cuts: RfmCuts | None) -> Trained:
    """Fit an outcome's model and judge it on the test slice beside the floors."""
    fitted = fit(data, definition)
    card = _card(data, definition, fitted)
    model = Model(fitted.booster, fitted.numbers, card, f"{data.outcome}/new")
    test = data.part("test")
    matrix = model.matrix(test)
    probability = model.probabilities(matrix)
    state = Evaluator.of(definition.states).first().alias("state")
    states = {
        name: with_rfm(data.part(name), definition.rfm, cuts).with_columns(state)["state"] for name in ("fit", "test")
    }
    simple = floors(data, definition, states)
    labels = test["label"].to_numpy().astype(np.float64)
    scores = {"model": probability, **simple}
    seed = definition.training.seed
    judged = evaluate(scores, labels, test["user"], test[WEIGHT].to_numpy(), seed=seed, against="model")
    metrics = judged.pop("model") | _of_unseen(probability, labels, test, seed)
    model = replace(model, card=card.model_copy(update={"metrics": metrics, "floors": judged}))
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
        data_digest=f"{data.rows.select('user', 'cutoff', 'slice', 'label').hash_rows(seed=1).sum():016x}"[-8:],
    )


def _of_unseen(probability: Floats, labels: Floats, test: pl.DataFrame, seed: int) -> dict[str, Measure]:
    """AUC and average precision on the users no slice but the test has held."""
    held = test["unseen"].to_numpy()
    if not 0 < labels[held].sum() < held.sum():
        return {}
    unseen = test.filter("unseen")
    found = evaluate(
        {"m": probability[held]}, labels[held], unseen["user"], unseen[WEIGHT].to_numpy(), seed=seed, against="m"
    )
    return {f"unseen_{key}": found["m"][key] for key in ("auc", "average_precision")}


def _card(data: Dataset, definition: Definition, fitted: Fitted) -> ModelCard:
    """The card of a model that is not judged yet."""
    rule, slices = definition.outcomes[data.outcome], data.summary()
    adjusted = data.part("calibrate")
    base_rate = float(np.average(adjusted["label"], weights=adjusted[WEIGHT]))
    return ModelCard(
        outcome=data.outcome,
        question=rule.question,
        among=rule.among,
        gap=rule.gap,
        horizon=rule.within,
        definition=definition.version,
        feature_digest=feature_set(definition).digest,
        features=list(feature_set(definition).numeric),
        categories=fitted.categories,
        tiers=fit_tiers(rule.tiers, fitted.calibrated, base_rate),
        percentiles=np.quantile(fitted.calibrated, np.linspace(0, 1, 101)).tolist(),
        base_rate=base_rate,
        trained_from=str(slices["fit"]["first_cutoff"]),
        trained_through=str(slices["fit"]["last_cutoff"]),
        slices=slices,
        metrics={},
        floors={},
    )
