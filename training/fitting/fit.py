"""Fitting: trees, regressions and BG/NBD by folds over users, calibrated on what each has not seen. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.definition.schema import Definition
from features.definition.sections.outcome import Outcome, ValueOutcome
from serving.model.card import Procedure
from serving.model.numbers import Floats, Numbers
from serving.model.trees.forest import Forest
from training.dataset.matrices import Matrices
from training.fitting.bg_nbd import Repeating, repeating
from training.fitting.objective import objective_of
from training.fitting.regressions import Regression, regress
from training.fitting.trees import Parameters, boost, signs_of, usual

#: folds over users; trees and regression are each the mean of so many
FOLDS = 5

#: shares of the trees in the blend that are tried
BLENDS = tuple((np.arange(21) / 20).tolist())


@dataclass(frozen=True, slots=True)
class Fitted:
    """What fitting yields.

    Attributes:
        booster: the trees; None where a regression or BG/NBD answers alone.
        numbers: regression or BG/NBD, blend, calibration.
        parameters: what to log.
        answers: calibrated, of each row, by what has not seen its user.
        weights: what each row counted in the calibration.
    """

    booster: Forest | None
    numbers: Numbers
    parameters: Parameters
    answers: Floats
    weights: Floats


def fit(
    matrices: Matrices, definition: Definition, outcome: str, procedure: Procedure, columns: list[str] | None = None
) -> Fitted:
    """Follow a procedure on rows.

    Every user is in one fold. Each fold's models are fitted on the users of the others; where boosting stops, the blend
    and the calibration are decided by what they say of the users they have not seen; and the mean of the folds' models,
    which have seen everybody, is what answers. No class weights: they break calibration.

    Args:
        matrices: the rows.
        definition: seed and monotone constraints.
        outcome: which question.
        procedure: how.
        columns: what a regression alone reads.
    """
    rule, seed, folds = definition.outcomes[outcome], definition.training.seed, matrices.folds(FOLDS)
    family, y = objective_of(rule), matrices.y
    aged = matrices.weights * fading(matrices, rule.within, procedure.half_life)
    line = _alone(matrices, rule, aged, folds, seed, procedure, columns)
    shown: Parameters = {"kind": procedure.kind, "folds": FOLDS, "half_life": procedure.half_life or 0.0}
    booster, share, scores = None, 0.0, line.held_out
    if procedure.kind == "blend":
        parameters = {**usual(matrices, seed, rule), **family.objective, **procedure.tuned}
        trees = boost(matrices, aged, parameters, folds)
        losses = {s: family.loss(y, s * trees.held_out + (1 - s) * line.held_out, aged) for s in BLENDS}
        share = min(losses, key=lambda s: losses[s])
        booster, scores = (trees.booster if share else None), share * trees.held_out + (1 - share) * line.held_out
        shown |= {**parameters, "rounds": trees.rounds, "blend_booster_weight": share}
    newest = matrices.weights * fading(matrices, rule.within, procedure.level)
    calibration = family.calibrate(y, scores, newest, matrices.cutoffs.astype(np.float64))
    shown |= {"level_half_life": procedure.level or 0.0, "calibration": calibration.method}
    if isinstance(line, Repeating):
        shown |= line.part.customers.model_dump()
    numbers = Numbers.of(line.part, share, calibration)
    return Fitted(booster, numbers, shown, calibration.apply(scores), newest)


def _alone(
    matrices: Matrices, rule: Outcome | ValueOutcome, weights: Floats, folds: NDArray[np.int64], seed: int,
    procedure: Procedure, columns: list[str] | None,
) -> Regression | Repeating:  # fmt: skip
    """What answers beside the trees, or alone."""
    if procedure.kind == "bg_nbd":
        if not isinstance(rule, Outcome):
            raise TypeError("BG/NBD answers yes or no")
        return repeating(matrices, rule, weights, folds)
    return regress(objective_of(rule), matrices, weights, signs_of(rule, matrices.names), folds, seed, columns)


def fading(matrices: Matrices, horizon: int, half_life: float | None) -> Floats:
    """How much older rows count: half for every so many horizons before the newest cutoff; 1 on average."""
    if half_life is None:
        return np.ones(len(matrices.y))
    age = (matrices.cutoffs.max() - matrices.cutoffs) / horizon
    share = 0.5 ** (age / half_life)
    return np.asarray(share / share.mean())
