"""Customers simulated by BG/NBD."""

import numpy as np


def simulated(n: int, seed: int = 1) -> tuple[np.ndarray, ...]:
    """Customers of a world in which the model is true, seen for 40 weeks, and whether they buy in 13 more."""
    rng = np.random.default_rng(seed)
    T, ahead = rng.uniform(20, 40, n), 13.0
    rate, drop = rng.gamma(0.8, 1 / 5.0, n), rng.beta(0.8, 2.5, n)
    x, t_x, buys = np.zeros(n), np.zeros(n), np.zeros(n)
    for i in range(n):
        t = 0.0
        while True:
            t += rng.exponential(1 / rate[i])
            if t > T[i] + ahead:
                break
            if t > T[i]:
                buys[i] = 1
                break
            x[i], t_x[i] = x[i] + 1, t
            if rng.random() < drop[i]:
                break
    return x, t_x, T, buys
