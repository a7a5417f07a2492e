"""Fitting: LightGBM and a regression, blended and calibrated on later slices. Pure: data in, model out."""

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from features.definition.columns import feature_set
from features.definition.outcome import Question
from features.definition.schema import Definition
from features.snapshot import WEIGHT
from serving.model import Floats, LinearPart, Numbers, model_matrix, squash
from training.dataset import Dataset
from training.family import Family, family_of

ROUNDS, PATIENCE = 1_500, 60
LINEAR_ROWS = 60_000
BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)

#: what LightGBM is told
Parameters = dict[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What fitting yields.

    Attributes:
        booster: LightGBM.
        numbers: linear part, blend, calibration.
        categories: values of each trait, by code.
        parameters: what to log.
        calibrated: answers of the ``calibrate`` slice; tier cut-offs and percentiles come from them.
    """

    booster: lgb.Booster
    numbers: Numbers
    categories: dict[str, list[str]]
    parameters: Parameters
    calibrated: Floats


@dataclass(frozen=True, slots=True)
class Matrices:
    """A data set as LightGBM reads it.

    Attributes:
        names: columns: numeric features, then traits.
        categories: values of each trait, by code.
        X, y, weights: of the slices ``fit``, ``stop`` and ``calibrate``.
    """

    names: list[str]
    categories: dict[str, list[str]]
    X: dict[str, Floats]
    y: dict[str, Floats]
    weights: dict[str, Floats]

    @classmethod
    def of(cls, data: Dataset, definition: Definition) -> "Matrices":
        """Lay a data set out."""
        features = feature_set(definition)
        rows = {name: data.part(name) for name in ("fit", "stop", "calibrate")}
        categories = {t: sorted(rows["fit"][t].drop_nulls().unique().to_list()) for t in features.traits}
        return cls(
            names=[*features.numeric, *categories],
            categories=categories,
            X={name: model_matrix(part, list(features.numeric), categories) for name, part in rows.items()},
            y={name: part["label"].to_numpy().astype(np.float64) for name, part in rows.items()},
            weights={name: part[WEIGHT].to_numpy() for name, part in rows.items()},
        )

    @property
    def sizes(self) -> list[int]:
        """How many values each trait has."""
        return [len(values) for values in self.categories.values()]


def fit(data: Dataset, matrices: Matrices, definition: Definition, tuned: Parameters | None = None) -> Fitted:
    """Fit a data set's models.

    The booster stops, and the blend is chosen, on the later ``stop`` slice. Then both are fitted once more on both
    slices, so that the newest behaviour is learnt from too; the calibration comes from the ``calibrate`` slice, which
    has other users than ``stop``. No class weights: they break calibration.

    Args:
        data: the data set.
        matrices: the same, laid out.
        definition: seed and monotone constraints.
        tuned: parameters to use in place of the usual ones.
    """
    X, y, weights, sizes = matrices.X, matrices.y, matrices.weights, matrices.sizes
    rule = definition.asked[data.outcome]
    family = family_of(rule)
    parameters = {**usual(matrices, definition.training.seed, rule), **family.objective, **(tuned or {})}
    first = boost(matrices, parameters)
    signs = _signs(rule, matrices.names)[: len(matrices.names) - len(sizes)]
    line_of_fit = _linear(family, X["fit"], y["fit"], weights["fit"], signs, sizes, definition)

    def scores(booster: lgb.Booster, linear: LinearPart, name: str) -> tuple[Floats, Floats]:
        line = linear.columns(X[name], sizes) @ np.array(linear.weights) + linear.intercept
        return np.asarray(booster.predict(X[name], raw_score=True)), line

    trees, line = scores(first, line_of_fit, "stop")
    losses = {w: family.loss(y["stop"], w * trees + (1 - w) * line, weights["stop"]) for w in BLENDS}
    weight = min(losses, key=lambda w: losses[w])
    both = {part: np.concatenate([part_of[name] for name in ("fit", "stop")])
            for part, part_of in (("X", X), ("y", y), ("w", weights))}  # fmt: skip
    booster = _rounds(matrices, both, parameters, first.current_iteration())
    linear = _linear(family, both["X"], both["y"], both["w"], signs, sizes, definition)
    trees, line = scores(booster, linear, "calibrate")
    blended = weight * trees + (1 - weight) * line
    instants = data.part("calibrate")["cutoff"].dt.epoch("us").to_numpy()
    calibration = family.calibrate(y["calibrate"], blended, weights["calibrate"], instants)
    numbers = Numbers(linear=linear, weight=weight, calibration=calibration)
    shown = {**parameters, "best_iteration": booster.current_iteration(), "blend_booster_weight": weight,
             "calibration": calibration.method}  # fmt: skip
    return Fitted(booster, numbers, matrices.categories, shown, calibration.apply(blended))


def usual(matrices: Matrices, seed: int, rule: Question) -> Parameters:
    """The parameters LightGBM is given when nothing was tuned, but for the objective."""
    signs = ",".join(str(sign) for sign in _signs(rule, matrices.names))
    declared = {"monotone_constraints": signs} if rule.monotone else {}
    return {
        "learning_rate": 0.03,
        "num_leaves": 15,
        "min_data_in_leaf": int(np.clip(len(matrices.X["fit"]) // 400, 20, 200)),
        "feature_fraction": 0.5,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "cat_smooth": 20.0,
        "seed": seed,
        "deterministic": "true",
        "force_row_wise": "true",
        "verbosity": -1,
        **declared,
    }


def _signs(rule: Question, names: list[str]) -> list[int]:
    """Which way each column may move the answer: 1 up, -1 down, 0 either."""
    ways = {"increasing": 1, "decreasing": -1}
    return [ways[rule.monotone[name]] if name in rule.monotone else 0 for name in names]


def boost(matrices: Matrices, parameters: Parameters) -> lgb.Booster:
    """Boost on the ``fit`` slice until the loss of the later ``stop`` slice no longer falls."""
    X, y, weights = matrices.X, matrices.y, matrices.weights
    data = lgb.Dataset(
        X["fit"], y["fit"], weight=weights["fit"], feature_name=matrices.names,
        categorical_feature=list(matrices.categories), params=parameters, free_raw_data=True,
    )  # fmt: skip
    later = data.create_valid(X["stop"], y["stop"], weight=weights["stop"])
    booster = lgb.train(
        parameters, data, ROUNDS, valid_sets=[later], callbacks=[lgb.early_stopping(PATIENCE, verbose=False)]
    )
    # through text, so that what is evaluated is what is saved: only the best iteration, nothing of the data
    return lgb.Booster(model_str=booster.model_to_string(num_iteration=max(booster.best_iteration, 1)))


def _rounds(matrices: Matrices, both: dict[str, Floats], parameters: Parameters, rounds: int) -> lgb.Booster:
    """Boost so many rounds."""
    data = lgb.Dataset(
        both["X"], both["y"], weight=both["w"], feature_name=matrices.names,
        categorical_feature=list(matrices.categories), params=parameters, free_raw_data=True,
    )  # fmt: skip
    return lgb.Booster(model_str=lgb.train(parameters, data, rounds).model_to_string())


def quick(X: Floats, y: Floats, other: Floats, *, seed: int, rounds: int = 40) -> Floats:
    """Probabilities of other rows by a small booster: for controls, not for answers."""
    parameters = {"objective": "binary", "num_leaves": 15, "verbosity": -1, "seed": seed, "deterministic": "true",
                  "force_row_wise": "true"}  # fmt: skip
    booster = lgb.train(parameters, lgb.Dataset(X, y), rounds)
    return np.asarray(booster.predict(other))


def _linear(
    family: Family, X: Floats, y: Floats, weights: Floats, signs: list[int], sizes: list[int], definition: Definition
) -> LinearPart:
    """Fit the regression; a column whose weight would break its declared sign is left out, until none does."""
    if len(X) > LINEAR_ROWS:
        some = np.random.default_rng(definition.training.seed).choice(len(X), LINEAR_ROWS, replace=False)
        X, y, weights = X[some], y[some], weights[some]
    numbers = squash(X[:, : len(signs)])
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
    columns = empty.columns(X, sizes)
    allowed = np.array([*signs, *[0] * (columns.shape[1] - len(signs))])
    used = np.ones(len(allowed), dtype=np.bool_)
    while True:
        found = np.zeros(len(allowed))
        found[used], intercept = family.regression(columns[:, used], y, weights)
        wrong = found * allowed < 0
        if not wrong.any():
            return empty.model_copy(update={"weights": found.tolist(), "intercept": intercept})
        used &= ~wrong
