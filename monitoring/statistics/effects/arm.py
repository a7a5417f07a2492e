"""The arms of an experiment: what has to be known of the users of each to compare them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from monitoring.statistics.inputs import Floats, labels, numbers, same_length


@dataclass(frozen=True, slots=True)
class Arm:
    """The outcome of all users who were assigned to an arm, whether they were reached or not.

    Attributes:
        users: how many; at least 2.
        mean: of the outcome.
        variance: of the outcome among users, with ``users - 1`` degrees of freedom.
    """

    users: int
    mean: float
    variance: float

    def __post_init__(self) -> None:
        _enough(self.users)

    @classmethod
    def of(cls, values: ArrayLike) -> "Arm":
        """Summarise the outcome of each user.

        Args:
            values: one for each user.

        Raises:
            ValueError: fewer than two users, or NaN.
        """
        read = numbers("outcomes", values)
        _enough(read.size)
        return cls(read.size, float(read.mean()), float(read.var(ddof=1)))

    @classmethod
    def of_count(cls, positives: int, users: int) -> "Arm":
        """Summarise an outcome that comes true or not; the same as `of` its zeros and ones.

        Args:
            positives: users for whom it came true.
            users: all of them.

        Raises:
            ValueError: fewer than two users, or a count that is below 0 or above that of all users.
        """
        _enough(users)
        if not 0 <= positives <= users:
            raise ValueError(f"{positives} of {users} users have the outcome; count each user once")
        rate = positives / users
        return cls(users, rate, rate * (1 - rate) * users / (users - 1))


@dataclass(frozen=True, slots=True)
class PairedArm:
    """An arm whose users have a second number beside the outcome.

    Attributes:
        users: how many; at least 2.
        mean: of the outcome.
        variance: of the outcome.
        other_mean: of the number beside it.
        other_variance: of that number.
        covariance: of the two.
    """

    users: int
    mean: float
    variance: float
    other_mean: float
    other_variance: float
    covariance: float

    def __post_init__(self) -> None:
        _enough(self.users)

    @classmethod
    def of(cls, values: ArrayLike, other: ArrayLike) -> "PairedArm":
        """Summarise two numbers of each user.

        Args:
            values: the outcome of each user.
            other: of the same users: the probability predicted at assignment, or whether each was reached.

        Raises:
            ValueError: fewer than two users, NaN, or lengths that differ.
        """
        y = numbers("outcomes", values)
        x = same_length("other numbers", numbers("other numbers", other), y.size)
        _enough(y.size)
        (variance, covariance), (_, other_variance) = _covariance(y, x)
        return cls(y.size, float(y.mean()), float(variance), float(x.mean()), float(other_variance), float(covariance))

    @classmethod
    def reached(cls, values: ArrayLike, flags: ArrayLike) -> "PairedArm":
        """Summarise the outcome of each user beside whether the user was reached.

        Args:
            values: the outcome of each user.
            flags: 1 for who was reached, 0 for who was not.

        Raises:
            ValueError: as for `of`, and a flag that is neither 0 nor 1.
        """
        y = numbers("outcomes", values)
        return cls.of(y, labels(flags, y.size))

    @property
    def plain(self) -> Arm:
        """The outcome alone."""
        return Arm(self.users, self.mean, self.variance)

    def less(self, factor: float, centre: float = 0.0) -> Arm:
        """The outcome less ``factor · (other - centre)`` of each user."""
        variance = self.variance + factor**2 * self.other_variance - 2 * factor * self.covariance
        # rounding may take what is 0 a little below it
        return Arm(self.users, self.mean - factor * (self.other_mean - centre), max(variance, 0.0))


def _covariance(y: Floats, x: Floats) -> Floats:
    return np.cov(y, x, ddof=1)


def _enough(users: int) -> None:
    if users < 2:
        counted = f"{users} user" if users == 1 else f"{users} users"
        raise ValueError(f"the arm has {counted}; it takes at least 2 to know how much users differ")
