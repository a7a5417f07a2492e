"""An alarm that may be looked at every day: evidence against calibration, valid however often one looks."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from monitoring.statistics.inputs import Floats, inside, numbers, same_length
from monitoring.statistics.probabilities.calibration import at_least_one


def log_evidence(deviations: ArrayLike, variances: ArrayLike, tau: float) -> Floats:
    """Logarithm of the likelihood ratio of "the level is off" over "it is right", after each snapshot.

    Under the first, deviations are normal around one unknown value that itself is normal around 0 with standard
    deviation ``τ`` (Robbins 1970, Annals of Mathematical Statistics 41). With ``I = Σ 1/v`` and ``S = Σ d/v``:
    ``ln L = ½ ln(1 / (1 + τ² I)) + τ² S² / (2 (1 + τ² I))``.

    Args:
        deviations: observed over expected, less 1; snapshots along the last axis.
        variances: of each deviation under calibration, above 0; of the same shape.
        tau: the size of a deviation that matters.
    """
    d, v = np.asarray(deviations, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    sums, information = np.cumsum(d / v, axis=-1), np.cumsum(1 / v, axis=-1)
    spread = 1 + tau**2 * information
    return np.asarray(tau**2 * sums**2 / (2 * spread) - np.log(spread) / 2)


@dataclass(frozen=True, slots=True)
class AlarmSequence:
    """The snapshots of one model's life, and whether they raised an alarm.

    The chance of a false alarm is at most ``alpha`` over all looks together (Ville's inequality), if no two snapshots
    share an outcome: a user counts once in a horizon.

    Attributes:
        tau: the size of a deviation that matters.
        alpha: the chance of a false alarm in the life of the model.
        deviations: observed over expected of each snapshot, less 1.
        variances: of each deviation, over-dispersion included.
    """

    tau: float = 0.05
    alpha: float = 0.01
    deviations: tuple[float, ...] = ()
    variances: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        inside("alpha", self.alpha)
        if not 0 < self.tau < math.inf:
            raise ValueError(f"tau is {self.tau:g}; it must be above 0")
        d = numbers("deviations", self.deviations)
        v = same_length("variances", numbers("variances", self.variances), d.size)
        if (v <= 0).any():
            raise ValueError(f"variances hold {v.min():g}; they must be above 0: leave out snapshots without users")

    def add(self, deviation: float, variance: float, *, phi: float = 1.0) -> "AlarmSequence":
        """Return the sequence with one more snapshot.

        Args:
            deviation: observed over expected, less 1.
            variance: of it under calibration: the square of `Level.error`.
            phi: over-dispersion that was estimated from earlier snapshots only. It is kept with the snapshot, so that
                a later estimate does not change past evidence.

        Raises:
            ValueError: a variance that is not above 0, ``phi`` below 1, or NaN.
        """
        return self.extend((deviation,), (variance,), phi=phi)

    def extend(self, deviations: ArrayLike, variances: ArrayLike, *, phi: float = 1.0) -> "AlarmSequence":
        """Return the sequence with more snapshots, in their order.

        Args:
            deviations: observed over expected of each, less 1.
            variances: of each deviation under calibration.
            phi: over-dispersion of all of them.

        Raises:
            ValueError: as for `add`, and where there are more of one than of the other.
        """
        d, v = numbers("deviations", deviations), at_least_one(phi) * numbers("variances", variances)
        return replace(self, deviations=(*self.deviations, *d.tolist()), variances=(*self.variances, *v.tolist()))

    @property
    def evidence(self) -> Floats:
        """Logarithm of the likelihood ratio after each snapshot."""
        return log_evidence(self.deviations, self.variances, self.tau)

    @property
    def threshold(self) -> float:
        """The evidence above which the alarm is raised: ``ln(1/alpha)``."""
        return -math.log(self.alpha)

    @property
    def alarmed_at(self) -> int | None:
        """The first snapshot, counted from 0, at which the alarm was raised; None where it was not."""
        above = np.flatnonzero(self.evidence > self.threshold)
        return int(above[0]) if above.size else None
