"""Fitting: LightGBM and a logistic regression, blended and calibrated on later slices. Pure: data in, model out."""

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.snapshot import WEIGHT
from serving.model import Floats, LinearPart, Numbers, model_matrix, sigmoid, squash
from training.dataset import Dataset

ROUNDS, PATIENCE = 1_500, 60
LINEAR_ROWS = 60_000
BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What fitting yields.

    Attributes:
        booster: LightGBM.
        numbers: linear part, blend, calibration.
        categories: values of each trait, by code.
        parameters: what to log.
        calibrated: probabilities of the ``calibrate`` slice; tier cut-offs and percentiles come from them.
    """

    booster: lgb.Booster
    numbers: Numbers
    categories: dict[str, list[str]]
    parameters: dict[str, float | int | str]
    calibrated: Floats


def log_loss(labels: Floats, logits: Floats, weights: Floats) -> float:
    """Weighted mean log loss of logits."""
    return float(np.average(np.logaddexp(0.0, logits) - labels * logits, weights=weights))


def fit(data: Dataset, definition: Definition) -> Fitted:
    """Fit a data set's models.

    The booster stops, and the blend is chosen, on the ``stop`` slice; Platt's slope and offset come from the
    ``calibrate`` slice. No class weights: they break calibration.
    """
    features = feature_set(definition)
    names = list(features.numeric)
    rows = {name: data.part(name) for name in ("fit", "stop", "calibrate")}
    categories = {t: sorted(rows["fit"][t].drop_nulls().unique().to_list()) for t in features.traits}
    X = {name: model_matrix(part, names, categories) for name, part in rows.items()}
    y = {name: part["label"].to_numpy().astype(np.float64) for name, part in rows.items()}
    weights = {name: part[WEIGHT].to_numpy() for name, part in rows.items()}
    seed = definition.training.seed
    parameters = _parameters(len(X["fit"]), seed)
    booster = _boost(X, y, weights, [*names, *categories], list(categories), parameters)
    linear = _linear(X["fit"], y["fit"], weights["fit"], len(names), [len(c) for c in categories.values()], seed)
    sizes = [len(c) for c in categories.values()]

    def logits(name: str) -> tuple[Floats, Floats]:
        columns = linear.columns(X[name], sizes)
        return np.asarray(booster.predict(X[name], raw_score=True)), columns @ np.array(
            linear.weights
        ) + linear.intercept

    trees, line = logits("stop")
    losses = {w: log_loss(y["stop"], w * trees + (1 - w) * line, weights["stop"]) for w in BLENDS}
    weight = min(losses, key=lambda w: losses[w])
    trees, line = logits("calibrate")
    blended = weight * trees + (1 - weight) * line
    slope, offset = platt(y["calibrate"], blended, weights["calibrate"])
    numbers = Numbers(linear=linear, weight=weight, slope=slope, offset=offset)
    shown = {**parameters, "best_iteration": booster.current_iteration(), "blend_booster_weight": weight}
    return Fitted(booster, numbers, categories, shown, sigmoid(slope * blended + offset))


def _parameters(rows: int, seed: int) -> dict[str, float | int | str]:
    return {
        "objective": "binary",
        "learning_rate": 0.03,
        "num_leaves": 15,
        "min_data_in_leaf": int(np.clip(rows // 400, 20, 200)),
        "feature_fraction": 0.5,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "cat_smooth": 20.0,
        "seed": seed,
        "deterministic": "true",
        "force_row_wise": "true",
        "verbosity": -1,
    }


def _boost(
    X: dict[str, Floats],
    y: dict[str, Floats],
    weights: dict[str, Floats],
    names: list[str],
    categorical: list[str],
    parameters: dict[str, float | int | str],
) -> lgb.Booster:
    data = lgb.Dataset(
        X["fit"], y["fit"], weight=weights["fit"], feature_name=names, categorical_feature=categorical,
        params=parameters, free_raw_data=True,
    )  # fmt: skip
    later = data.create_valid(X["stop"], y["stop"], weight=weights["stop"])
    booster = lgb.train(
        parameters, data, ROUNDS, valid_sets=[later], callbacks=[lgb.early_stopping(PATIENCE, verbose=False)]
    )
    # through text, so that what is evaluated is what is saved: only the best iteration, nothing of the data
    return lgb.Booster(model_str=booster.model_to_string(num_iteration=max(booster.best_iteration, 1)))


def _linear(X: Floats, y: Floats, weights: Floats, numeric: int, sizes: list[int], seed: int) -> LinearPart:
    if len(X) > LINEAR_ROWS:
        some = np.random.default_rng(seed).choice(len(X), LINEAR_ROWS, replace=False)
        X, y, weights = X[some], y[some], weights[some]
    numbers = squash(X[:, :numeric])
    missing = np.isnan(numbers)
    filled = np.where(missing, 0.0, numbers)
    n = np.maximum((~missing).sum(axis=0), 1)
    center = filled.sum(axis=0) / n
    spread = np.sqrt(np.where(missing, 0.0, (numbers - center) ** 2).sum(axis=0) / n)
    empty = LinearPart(
        center=center.tolist(),
        scale=np.where(spread > 1e-9, spread, 1.0).tolist(),
        flagged=np.flatnonzero(missing.any(axis=0)).tolist(),
        flag_means=[],
        weights=[],
        intercept=0.0,
    )
    empty = empty.model_copy(update={"flag_means": empty.flags(X, sizes).mean(axis=0).tolist()})
    model = LogisticRegression(C=0.02, max_iter=300, tol=1e-3)
    model.fit(empty.columns(X, sizes), y, sample_weight=weights)
    return empty.model_copy(update={"weights": model.coef_[0].tolist(), "intercept": float(model.intercept_[0])})


def platt(labels: Floats, logits: Floats, weights: Floats) -> tuple[float, float]:
    """Slope and offset of the logit that minimise the weighted log loss (Platt, with his smoothed targets)."""
    positives = labels.sum()
    target = np.where(labels > 0, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    share = weights / weights.sum()

    def loss(theta: Floats) -> tuple[float, Floats]:
        z = theta[0] * logits + theta[1]
        wrong = (sigmoid(z) - target) * share
        return log_loss(target, z, weights), np.array([wrong @ logits, wrong.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS")
    return float(found.x[0]), float(found.x[1])
