"""Users whose true probability is known."""

import numpy as np


def calibrated(draw: np.random.Generator, users: int, rate: float = 0.3, explained: float = 0.3) -> np.ndarray:
    """Beta-shaped probabilities that explain a share of the variance of their labels."""
    size = 1 / explained - 1
    return draw.beta(rate * size, (1 - rate) * size, users)


def labels(draw: np.random.Generator, p: np.ndarray) -> np.ndarray:
    """What comes true."""
    return (draw.random(p.shape) < p).astype(np.float64)
