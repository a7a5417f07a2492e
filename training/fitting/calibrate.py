"""Calibration: from a blended logit to a probability that comes true, stored as numbers."""

import numpy as np
from scipy.optimize import minimize
from sklearn.isotonic import isotonic_regression

from serving.model.numbers import Calibration, Floats, sigmoid

#: below this many rows isotonic regression harms more often than it helps
ISOTONIC_ROWS = 20_000


def log_loss(labels: Floats, logits: Floats, weights: Floats) -> float:
    """Weighted mean log loss of logits."""
    return float(np.average(np.logaddexp(0.0, logits) - labels * logits, weights=weights))


def calibrate(labels: Floats, logits: Floats, weights: Floats, cutoffs: Floats) -> Calibration:
    """Platt on the logit; isotonic where there are many rows and it is better on the later of them.

    Args:
        labels: of the calibration slice.
        logits: blended.
        weights: how many rows each row stands for.
        cutoffs: the instants of the rows; the later half of them decides, and both are fitted on all of them then.
    """
    plain = platt(labels, logits, weights)
    instants = np.unique(cutoffs)
    if len(labels) < ISOTONIC_ROWS or len(instants) < 2:
        return plain
    later = cutoffs >= instants[len(instants) // 2]
    earlier = labels[~later], logits[~later], weights[~later]
    smooth = platt(*earlier)
    losses = [_loss(c, labels[later], logits[later], weights[later]) for c in (smooth, isotonic(*earlier, smooth))]
    return isotonic(labels, logits, weights, plain) if losses[1] < losses[0] else plain


def platt(labels: Floats, logits: Floats, weights: Floats) -> Calibration:
    """Slope and offset of the logit that minimise the weighted log loss (Platt 1999, with his smoothed targets)."""
    positives = labels.sum()
    target = np.where(labels > 0, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    share = weights / weights.sum()

    def loss(theta: Floats) -> tuple[float, Floats]:
        z = theta[0] * logits + theta[1]
        wrong = (sigmoid(z) - target) * share
        return log_loss(target, z, weights), np.array([wrong @ logits, wrong.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS")
    return Calibration(slope=float(found.x[0]), offset=float(found.x[1]))


def isotonic(labels: Floats, logits: Floats, weights: Floats, plain: Calibration) -> Calibration:
    """Centred isotonic regression (Oron and Flournoy 2017): lines between the centres of the blocks, so that few tie.

    Args:
        labels: of the rows.
        logits: blended.
        weights: how many rows each row stands for.
        plain: `platt` of the same rows; its slope and offset stay beside it: reasons are on the logit scale.
    """
    order = np.argsort(logits, kind="stable")
    x, w = logits[order], weights[order]
    y = isotonic_regression(labels[order].astype(np.float64), sample_weight=w)
    starts = np.flatnonzero(np.append(True, np.diff(y) > 1e-12))
    mass = np.add.reduceat(w, starts)
    centres = np.add.reduceat(w * x, starts) / mass
    baseline = 1.0 / (len(labels) + 2.0)  # never say never
    values = np.clip(y[starts], baseline, 1.0 - baseline)
    return plain.model_copy(update={"logits": centres.tolist(), "probabilities": values.tolist()})


def _loss(calibration: Calibration, labels: Floats, logits: Floats, weights: Floats) -> float:
    p = calibration.apply(logits)
    return log_loss(labels, np.log(p / (1.0 - p)), weights)
