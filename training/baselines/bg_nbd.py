"""Fitting BG/NBD (Fader, Hardie and Lee 2005), and how many purchases it expects."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln, hyp2f1

from serving.model.bg_nbd import BgNbd

Floats = NDArray[np.float64]


#: a fit looks at so many customers at most: four parameters need no more
MOST_CUSTOMERS = 10_000


def fit_bg_nbd(x: Floats, t_x: Floats, T: Floats, weights: Floats | None = None, start: BgNbd | None = None) -> BgNbd:
    """Maximum likelihood; where there are many customers, of some that are drawn.

    Args:
        x: repeat purchases of each customer.
        t_x: when the last of them came, after the first purchase.
        T: how long ago the first purchase was.
        weights: of the customers.
        start: a fit to nearly the same customers, to search from.
    """
    weights = np.ones(len(x)) if weights is None else weights
    if len(x) > MOST_CUSTOMERS:
        drawn = np.sort(np.random.default_rng(len(x)).permutation(len(x))[:MOST_CUSTOMERS])
        x, t_x, T, weights = x[drawn], t_x[drawn], T[drawn], weights[drawn]
    scale = 10.0 / T.max()  # one unit for all logs, so that the search starts near
    begin = np.zeros(4) if start is None else np.log([start.r, start.alpha * scale, start.a, start.b])
    times, place = np.unique(x, return_inverse=True)  # few, and what is slow depends on them alone
    found = minimize(
        lambda theta: -np.average(_likelihood(theta, times, place, t_x * scale, T * scale), weights=weights),
        begin, method="Nelder-Mead",
        options={"maxiter": 4_000, "xatol": 1e-6, "fatol": 1e-9,
                 "initial_simplex": begin + np.vstack([np.zeros(4), (0.5 if start is None else 0.05) * np.eye(4)])},
    )  # fmt: skip
    r, alpha, a, b = (float(v) for v in _parameters(found.x))
    return BgNbd(r=r, alpha=float(alpha / scale), a=a, b=b)


def expected(model: BgNbd, within: float, x: Floats, t_x: Floats, T: Floats) -> Floats:
    """How many purchases to expect in the time ahead (equation 10 of the paper)."""
    a = model.a if abs(model.a - 1) > 1e-6 else 1 + 1e-6  # the equation has 0 / 0 there
    b, seen = model.b, model.alpha + T
    shape = hyp2f1(model.r + x, b + x, a + b + x - 1, within / (seen + within))
    until_gone = (a + b + x - 1) / (a - 1) * (1 - (seen / (seen + within)) ** (model.r + x) * shape)
    return np.asarray(until_gone * model.alive(x, t_x, T))


def log_likelihood(model: BgNbd, x: Floats, t_x: Floats, T: Floats) -> float:
    """Sum over customers, to compare with published values."""
    times, place = np.unique(x, return_inverse=True)
    return float(_likelihood(np.log([model.r, model.alpha, model.a, model.b]), times, place, t_x, T).sum())


def _parameters(theta: Floats) -> Floats:
    """Parameters, held where the data determine them: where nobody drops out, ``b`` would grow for ever."""
    return np.asarray(np.exp(np.clip(theta, -12, 12)))


def _likelihood(theta: Floats, times: Floats, place: NDArray[np.intp], t_x: Floats, T: Floats) -> Floats:
    """Log-likelihood of each customer, who has bought ``times[place]`` times again."""
    r, alpha, a, b = _parameters(theta)
    first = gammaln(r + times) - gammaln(r) + r * np.log(alpha)
    second = gammaln(a + b) + gammaln(b + times) - gammaln(b) - gammaln(a + b + times)
    dropped = np.where(times > 0, np.log(a) - np.log(b + np.maximum(times, 1) - 1), -np.inf)
    rate = (r + times)[place]
    staying = -rate * np.log(alpha + T)
    leaving = dropped[place] - rate * np.log(alpha + t_x)
    return np.asarray((first + second)[place] + np.logaddexp(staying, leaving))
