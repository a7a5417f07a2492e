"""Gamma-Gamma (Fader, Hardie and Lee 2005): what an order of a customer is worth, from the orders before."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """An order is worth Gamma(p, nu), and a customer's nu is drawn from Gamma(q, v): everybody's mean is p v / (q - 1).

    A customer is ``x`` orders of mean value ``m``, both above 0; the number of orders says nothing of their
    value.
    """

    p: float
    q: float
    v: float

    @classmethod
    def fit(cls, x: Floats, m: Floats, weights: Floats | None = None) -> "GammaGamma":
        """Maximum likelihood."""
        weights = np.ones(len(x)) if weights is None else weights
        scale = 1.0 / np.average(m, weights=weights)  # one unit for all moneys, so that the search starts near
        found = minimize(
            lambda theta: -np.average(_likelihood(theta, x, m * scale), weights=weights),
            np.log([2.0, 2.0, 1.0]), method="Nelder-Mead", options={"maxiter": 4_000, "xatol": 1e-7, "fatol": 1e-10},
        )  # fmt: skip
        p, q, v = (float(value) for value in _parameters(found.x))
        return cls(p, q, float(v / scale))

    def expected(self, x: Floats, m: Floats) -> Floats:
        """What an order of each customer is worth: everybody's mean, drawn to their own the more orders there are."""
        own = self.p * x / (self.p * x + self.q - 1)
        return own * m + (1 - own) * self.p * self.v / (self.q - 1)


def _parameters(theta: Floats) -> tuple[float, float, float]:
    """``p, q, v``; ``q`` above 1, so that there is a mean."""
    p, beyond, v = np.exp(np.clip(theta, -12, 12))
    return p, 1.0 + beyond, v


def _likelihood(theta: Floats, x: Floats, m: Floats) -> Floats:
    p, q, v = _parameters(theta)
    known = gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(v)
    return np.asarray(known + (p * x - 1) * np.log(m) + p * x * np.log(x) - (p * x + q) * np.log(x * m + v))
