"""Arrays that statistics are computed from: what is not a number, a probability or a label is refused."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Floats: TypeAlias = NDArray[np.float64]


def numbers(name: str, values: ArrayLike) -> Floats:
    """Read finite numbers.

    Args:
        name: what they are, for the message.
        values: one for each user.

    Raises:
        ValueError: they are not one column, or one of them is NaN or infinite.
    """
    read = np.asarray(values, dtype=np.float64)
    if read.ndim != 1:
        raise ValueError(f"{name} have {read.ndim} dimensions; pass one number for each user")
    if not np.isfinite(read).all():
        raise ValueError(f"{name} hold {int((~np.isfinite(read)).sum())} values that are NaN or infinite; drop them")
    return read


def probabilities(p: ArrayLike) -> Floats:
    """Read probabilities.

    Raises:
        ValueError: one of them is NaN or lies outside [0, 1].
    """
    read = numbers("probabilities", p)
    outside = read[(read < 0) | (read > 1)]
    if outside.size:
        raise ValueError(f"probabilities hold {outside[0]:g}; they must lie in [0, 1]")
    return read


def labels(y: ArrayLike, count: int) -> Floats:
    """Read as many labels as there are probabilities.

    Raises:
        ValueError: there are more or fewer, or one of them is neither 0 nor 1.
    """
    read = same_length("labels", numbers("labels", y), count)
    other = read[(read != 0) & (read != 1)]
    if other.size:
        raise ValueError(f"labels hold {other[0]:g}; they must be 0 or 1")
    return read


def weights(w: ArrayLike | None, count: int) -> Floats:
    """Read as many weights as there are users; 1 each where none are given.

    Raises:
        ValueError: there are more or fewer, or one of them is below 0.
    """
    if w is None:
        return np.ones(count)
    read = same_length("weights", numbers("weights", w), count)
    if (read < 0).any():
        raise ValueError(f"weights hold {read.min():g}; they must be 0 or more")
    return read


def same_length(name: str, values: Floats, count: int) -> Floats:
    """Return the values where there are as many as expected.

    Raises:
        ValueError: there are more or fewer.
    """
    if values.size != count:
        raise ValueError(f"there are {values.size} {name} for {count} users; pass one for each")
    return values


def inside(name: str, share: float) -> float:
    """Return a number between 0 and 1, such as a confidence.

    Raises:
        ValueError: it is not between them.
    """
    if not 0 < share < 1:
        raise ValueError(f"{name} is {share:g}; it must lie between 0 and 1")
    return share


def two_sided(confidence: float) -> float:
    """How many standard errors an interval reaches to each side: 1.96 for 0.95.

    Raises:
        ValueError: the confidence is not between 0 and 1.
    """
    return float(ndtri(0.5 + inside("confidence", confidence) / 2))
