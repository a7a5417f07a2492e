"""Objectives: how models of likelihoods are fitted and calibrated, and how models of amounts are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, TweedieRegressor

from features.definition.sections.outcome import Outcome, ValueOutcome
from serving.model.numbers import Calibration, Floats
from training.fitting.calibrate import calibrate, log_loss

#: between 1 (counts of orders alone) and 2 (sizes of orders alone); docs/adr/0016-value.md has what was measured
POWER = 1.2

#: a regression on a few columns that somebody chose needs hardly any penalty; one on all of them a strong one
FEW_COLUMNS, C_OF_FEW, C_OF_MANY = 40, 1.0, 0.005


#: standardised columns: they are a few units wide, so that half the digits tell the same in half the time and memory
Columns = NDArray[np.float32]


class Objective(Protocol):
    """How answers of a kind are fitted, compared and calibrated, on the scale on which effects add up."""

    @property
    def objective(self) -> Mapping[str, str | float]:
        """What LightGBM is given of the answers."""
        ...

    def regression(self, columns: Columns, y: Floats, weights: Floats) -> tuple[Floats, float]:
        """Weights and intercept of a regularised regression of answers on standardised columns."""
        ...

    def loss(self, y: Floats, scores: Floats, weights: Floats) -> float:
        """Weighted mean loss of scores."""
        ...

    def calibrate(self, y: Floats, scores: Floats, weights: Floats, cutoffs: Floats) -> Calibration:
        """From scores to answers, on rows that neither booster nor regression has seen."""
        ...


def objective_of(rule: Outcome | ValueOutcome) -> Objective:
    """The family of an outcome's answers."""
    return Likelihood() if isinstance(rule, Outcome) else Amount()


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Yes or no; scores are logits."""

    @property
    def objective(self) -> Mapping[str, str | float]:
        """Log loss."""
        return {"objective": "binary"}

    def regression(self, columns: Columns, y: Floats, weights: Floats) -> tuple[Floats, float]:
        """Logistic; where all answers are alike, their rate alone."""
        if np.ptp(y) == 0.0:
            rate = (weights @ y + 1.0) / (weights.sum() + 2.0)
            return np.zeros(columns.shape[1]), float(np.log(rate / (1.0 - rate)))
        penalty = C_OF_FEW if columns.shape[1] <= FEW_COLUMNS else C_OF_MANY
        model = LogisticRegression(C=penalty, max_iter=300, tol=1e-3).fit(columns, y, sample_weight=weights)
        return model.coef_[0].astype(np.float64), float(model.intercept_[0])

    def loss(self, y: Floats, scores: Floats, weights: Floats) -> float:
        """Log loss."""
        return log_loss(y, scores, weights)

    def calibrate(self, y: Floats, scores: Floats, weights: Floats, cutoffs: Floats) -> Calibration:
        """Platt or isotonic."""
        return calibrate(y, scores, weights, cutoffs)


@dataclass(frozen=True, slots=True)
class Amount:
    """A sum of none, one or some orders; scores are logarithms of what is expected.

    Such sums are Tweedie distributed when orders come at random and their sizes are Gamma distributed (Jorgensen 1987):
    zeros and sizes are one model, and what it expects is a sum, not a chance times a size.
    """

    @property
    def objective(self) -> Mapping[str, str | float]:
        """Tweedie deviance."""
        return {"objective": "tweedie", "tweedie_variance_power": POWER, "metric": "tweedie"}

    def regression(self, columns: Columns, y: Floats, weights: Floats) -> tuple[Floats, float]:
        """Tweedie, with the logarithm as link; where all answers are alike, they alone."""
        if np.ptp(y) == 0.0:
            return np.zeros(columns.shape[1]), float(np.log(max(y[0], 1e-9)))
        mean = float(
            np.average(y, weights=weights)
        )  # the deviance, and so the penalty's weight, would hang on the money
        # second derivatives: 4 steps where L-BFGS takes 50
        model = TweedieRegressor(power=POWER, link="log", alpha=0.1, solver="newton-cholesky", tol=1e-4)
        model.fit(columns, y / mean, sample_weight=weights)
        return model.coef_.astype(np.float64), float(model.intercept_ + np.log(mean))

    def loss(self, y: Floats, scores: Floats, weights: Floats) -> float:
        """Tweedie deviance, up to what the scores do not change."""
        losses = np.exp((2 - POWER) * scores) / (2 - POWER) - y * np.exp((1 - POWER) * scores) / (1 - POWER)
        return float(np.average(losses, weights=weights))

    def calibrate(self, y: Floats, scores: Floats, weights: Floats, cutoffs: Floats) -> Calibration:
        """Slope and offset that minimise the Poisson deviance: with them the totals are met exactly."""
        share, middle = weights / weights.sum(), float(np.average(scores, weights=weights))
        mean = float(share @ y)

        def loss(theta: Floats) -> tuple[float, Floats]:
            z = theta[0] * (scores - middle) + theta[1]
            expected = np.exp(np.minimum(z, 30.0))
            wrong = (expected - y / mean) * share
            return float(share @ (expected - y / mean * z)), np.array([wrong @ (scores - middle), wrong.sum()])

        found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS")
        slope, offset = float(found.x[0]), float(found.x[1] + np.log(mean) - found.x[0] * middle)
        return Calibration(slope=slope, offset=offset, most=float(y.max()))
