"""BG/NBD (Fader, Hardie and Lee 2005): who still buys, from repeat purchases, recency and age alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln, hyp2f1

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BgNbd:
    """Purchases come at a rate drawn from Gamma(r, alpha); after each one drops out with a chance from Beta(a, b).

    Customers are told by ``x`` repeat purchases, the last of them ``t_x`` after the first purchase, which lies ``T``
    back; times in any one unit.
    """

    r: float
    alpha: float
    a: float
    b: float

    @classmethod
    def fit(cls, x: Floats, t_x: Floats, T: Floats, weights: Floats | None = None) -> "BgNbd":
        """Maximum likelihood."""
        weights = np.ones(len(x)) if weights is None else weights
        scale = 10.0 / T.max()  # one unit for all logs, so that the search starts near
        found = minimize(
            lambda theta: -np.average(_likelihood(theta, x, t_x * scale, T * scale), weights=weights),
            np.zeros(4), method="Nelder-Mead", options={"maxiter": 4_000, "xatol": 1e-6, "fatol": 1e-9},
        )  # fmt: skip
        r, alpha, a, b = (float(v) for v in _parameters(found.x))
        return cls(r, float(alpha / scale), a, b)

    def alive(self, x: Floats, t_x: Floats, T: Floats) -> Floats:
        """P(the customer has not dropped out); 1 without repeat purchases, since one drops out after a purchase."""
        odds = (
            self.a / (self.b + np.maximum(x, 1) - 1) * ((self.alpha + T) / (self.alpha + t_x)) ** (self.r + x)
        )  # that they have
        return np.where(x > 0, 1 / (1 + odds), 1.0)

    def buys(self, within: float, x: Floats, t_x: Floats, T: Floats) -> Floats:
        """P(at least one purchase in the time ahead): alive, and the Gamma rate given the past does not stay silent."""
        silent = ((self.alpha + T) / (self.alpha + T + within)) ** (self.r + x)
        return self.alive(x, t_x, T) * (1 - silent)

    def expected(self, within: float, x: Floats, t_x: Floats, T: Floats) -> Floats:
        """How many purchases to expect in the time ahead (equation 10 of the paper)."""
        a = self.a if abs(self.a - 1) > 1e-6 else 1 + 1e-6  # the equation has 0 / 0 there
        b, seen = self.b, self.alpha + T
        shape = hyp2f1(self.r + x, b + x, a + b + x - 1, within / (seen + within))
        until_gone = (a + b + x - 1) / (a - 1) * (1 - (seen / (seen + within)) ** (self.r + x) * shape)
        return np.asarray(until_gone * self.alive(x, t_x, T))


def log_likelihood(model: BgNbd, x: Floats, t_x: Floats, T: Floats) -> float:
    """Sum over customers, to compare with published values."""
    return float(_likelihood(np.log([model.r, model.alpha, model.a, model.b]), x, t_x, T).sum())


def _parameters(theta: Floats) -> Floats:
    """Parameters, held where they can be told apart: where nobody drops out, ``b`` would grow for ever."""
    return np.asarray(np.exp(np.clip(theta, -12, 12)))


def _likelihood(theta: Floats, x: Floats, t_x: Floats, T: Floats) -> Floats:
    r, alpha, a, b = _parameters(theta)
    first = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    second = gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
    staying = -(r + x) * np.log(alpha + T)
    leaving = np.where(x > 0, np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + t_x), -np.inf)
    return np.asarray(first + second + np.logaddexp(staying, leaving))
