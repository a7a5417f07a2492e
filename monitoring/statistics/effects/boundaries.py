"""How far an effect must lie from 0 to be read before the end: at planned looks, or at any time."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import norm

from monitoring.statistics.inputs import Floats, inside, numbers

#: information between two looks, at least; closer ones would need a finer grid and tell nothing more
CLOSEST = 0.001

#: a look that may spend less has no boundary: the paths beyond `_FAR` are about as likely
_NEGLIGIBLE = 1e-15
_FAR = 9.0

#: Gauss–Legendre nodes and weights of a panel as wide as one standard deviation of a step
_NODES, _WIDTHS = np.polynomial.legendre.leggauss(6)


def spent(fraction: float, alpha: float = 0.05) -> float:
    """How much of alpha both sides together may have spent by a look: ``2 (2 - 2 Φ(z_{alpha/4} / √t))``.

    The spending function of the O'Brien–Fleming type (Lan and DeMets 1983, Biometrika 70), for each side half of
    alpha: nearly nothing is spent on early looks.

    Args:
        fraction: of the information that is there, in (0, 1].
        alpha: the chance of a false finding over all looks.

    Raises:
        ValueError: a fraction outside (0, 1], or alpha not between 0 and 1.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"the fraction is {fraction:g}; it must be above 0 and at most 1")
    return float(4 * norm.sf(norm.isf(inside("alpha", alpha) / 4) / math.sqrt(fraction)))


def boundaries(fractions: ArrayLike, alpha: float = 0.05) -> Floats:
    """The boundary of ``|z|`` at each look: an effect beyond it may be read then.

    The density of the paths that are still inside is carried from look to look by numerical integration (Armitage,
    McPherson and Rowe 1969, Journal of the Royal Statistical Society A 132).

    Args:
        fractions: information at each look as a share of that at the last planned one, such as the users who have
            matured; growing, in (0, 1]. A boundary depends on no later look.
        alpha: two-sided chance of a false finding over all looks.

    Returns:
        One boundary for each look; infinite where less than 1e-15 may be spent.

    Raises:
        ValueError: no look; fractions outside (0, 1], or that do not grow by 0.001 at least; alpha not between 0 and 1.
    """
    times = _looks(fractions)
    budget = np.diff([spent(time, alpha) for time in times.tolist()], prepend=0.0)
    paths = _Paths(np.zeros(1), np.ones(1), 0.0)
    found = np.empty(times.size)
    for look, time in enumerate(times.tolist()):
        found[look] = edge = paths.boundary(time, float(budget[look]))
        if look + 1 < times.size:
            paths = paths.inside(time, edge, float(times[look + 1]))
    return found


def reach_of(fractions: ArrayLike, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """What planned looks put in the place of the 1.96 of one look in a calculation of power.

    An effect of ``reach + Φ⁻¹(power)`` standard errors of the last look crosses a boundary at one of the looks with
    this power. Its paths are those without an effect, weighted by ``exp(δ x - δ² t / 2)``.

    Args:
        fractions: as for `boundaries`; the last look is the end.
        power: the chance to find the effect.
        alpha: two-sided chance of a false finding over all looks.

    Raises:
        ValueError: as `boundaries` does; a power not between alpha and 1.
    """
    times, edges = _looks(fractions), boundaries(fractions, alpha)
    if not inside("alpha", alpha) < power < 1:
        raise ValueError(f"the power is {power:g}; it must be between alpha, {alpha:g}, and 1")
    paths = _Paths(np.zeros(1), np.ones(1), 0.0)
    ends = np.append(times[1:], times[-1] + (times[-1] - (times[-2] if times.size > 1 else 0.0)))
    for time, edge, following in zip(times.tolist(), edges.tolist(), ends.tolist(), strict=True):
        paths = paths.inside(time, edge, following)

    def missed(effect: float) -> float:
        likely = np.exp(effect * paths.places - effect**2 * paths.time / 2)
        return float(paths.mass @ likely) - (1 - power)

    scale = math.sqrt(times[-1])
    return float(brentq(missed, 0.0, _FAR / scale, xtol=1e-9)) * scale - float(norm.ppf(power))


def always_valid(users: float, *, tuned_for: float = 5_000, alpha: float = 0.05) -> float:
    """How many standard errors an interval reaches that may be looked at after every user.

    An asymptotic confidence sequence (Waudby-Smith et al. 2024, Annals of Statistics 52):
    ``√(2 (n ρ² + 1) / (n ρ²) · ln(√(n ρ² + 1) / alpha))``, in place of 1.96.

    Args:
        users: in all arms, whose outcome is known.
        tuned_for: about how many users the interval is narrowest for.
        alpha: 1 less the confidence, over all looks.

    Raises:
        ValueError: no users, or alpha not between 0 and 1.
    """
    scaled = _scaled(users, tuned_for, alpha)
    return math.sqrt(2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / alpha))


def always_valid_p(z: float, users: float, *, tuned_for: float = 5_000) -> float:
    """The p-value that belongs to `always_valid` intervals: it may be looked at after every user.

    The smallest alpha whose interval leaves 0 out, for intervals tuned at alpha = .05:
    ``√(n ρ² + 1) · exp(-z² n ρ² / (2 (n ρ² + 1)))``, at most 1.

    Args:
        z: the effect in standard errors.
        users: in all arms, whose outcome is known.
        tuned_for: as for `always_valid`.

    Raises:
        ValueError: no users.
    """
    scaled = _scaled(users, tuned_for, 0.05)
    return min(1.0, math.sqrt(scaled + 1) * math.exp(-(z**2) * scaled / (2 * (scaled + 1))))


def _scaled(users: float, tuned_for: float, alpha: float) -> float:
    """``n ρ²``."""
    if users <= 0 or tuned_for <= 0:
        raise ValueError(f"there are {users:g} users, and {tuned_for:g} to tune for; both must be above 0")
    sure = -2 * math.log(inside("alpha", alpha))
    return users * (sure + math.log(sure + 1)) / tuned_for


@dataclass(frozen=True, slots=True)
class _Paths:
    """Where the paths of a Brownian motion are that have crossed no boundary.

    Attributes:
        places: nodes.
        mass: density at each, times the width that the node stands for.
        time: information by then.
    """

    places: Floats
    mass: Floats
    time: float

    def boundary(self, time: float, share: float) -> float:
        """The ``|z|`` beyond which the share of all paths is at a later time."""
        if share < _NEGLIGIBLE:
            return math.inf
        step, scale = math.sqrt(time - self.time), math.sqrt(time)

        def too_many(edge: float) -> float:
            # symmetric: as many paths leave below as above
            beyond = 2 * float(self.mass @ norm.sf((edge * scale - self.places) / step))
            return math.log(max(beyond, 1e-300) / share)

        return float(brentq(too_many, 0.0, _FAR, xtol=1e-9))

    def inside(self, time: float, edge: float, following: float) -> "_Paths":
        """The paths that are within a boundary at a later time, on a grid fine enough for the look that follows."""
        step, reach = math.sqrt(time - self.time), min(edge, _FAR) * math.sqrt(time)
        panels = max(16, math.ceil(2 * reach / min(step, math.sqrt(following - time))))
        half = reach / panels
        centres = -reach + half * (2 * np.arange(panels) + 1)
        places = (centres[:, None] + half * _NODES).ravel()
        density = norm.pdf((places[:, None] - self.places) / step) @ self.mass / step
        return _Paths(places, density * np.tile(half * _WIDTHS, panels), time)


def _looks(fractions: ArrayLike) -> Floats:
    times = numbers("fractions", fractions)
    if not times.size:
        raise ValueError("there are 0 looks; plan at least 1")
    closest = float(np.diff(times, prepend=0.0).min())
    if closest < CLOSEST * (1 - 1e-6) or times[-1] > 1:
        raise ValueError(f"fractions are {times.tolist()}; they must grow by {CLOSEST:g} at least, up to 1 at most")
    return times
