"""The size of a test: the smallest effect that a holdout can show."""

import math

from scipy.optimize import brentq
from scipy.stats import norm


def smallest_effect(
    treated: float,
    held_out: float,
    rate: float,
    *,
    confidence: float = 0.95,
    power: float = 0.8,
    reach: float | None = None,
    rise: bool = False,
) -> float | None:
    """The smallest difference of two rates that a test sees, as it would mostly be seen.

    Two-sided test of two proportions, with the rates' own variances (Fleiss, Levin, Paik 2003, section 4.2).

    Args:
        treated: users who are sent something.
        held_out: users who are left alone.
        rate: the expected rate among those left alone, in ``(0, 1)``.
        confidence: 1 less the chance to see an effect that is not there.
        power: the chance to see one that is.
        reach: how many standard errors from 0 an effect is seen; those of the confidence in one look when left out.
        rise: whether the rate is to rise; left out, it is to fall.

    Returns:
        How far the rate has to fall, in ``(0, rate]``, or to rise, in ``(0, 1 - rate]``; None when not even a change of
        everybody would be seen.
    """
    if rise:  # of those who do it, as a fall of those who do not
        return smallest_effect(treated, held_out, 1 - rate, confidence=confidence, power=power, reach=reach)
    if treated < 1 or held_out < 1 or not 0 < rate < 1:
        return None
    alpha, beta = norm.ppf(0.5 + confidence / 2) if reach is None else reach, norm.ppf(power)
    pooled_share = treated / (treated + held_out)

    def short_of(other: float) -> float:
        """Standard errors that are lacking to see the other rate."""
        pooled = pooled_share * other + (1 - pooled_share) * rate
        null = math.sqrt(pooled * (1 - pooled) * (1 / treated + 1 / held_out))
        real = math.sqrt(other * (1 - other) / treated + rate * (1 - rate) / held_out)
        return float(abs(other - rate) - alpha * null - beta * real)

    nothing = 1e-12
    return rate - float(brentq(short_of, nothing, rate, xtol=1e-9)) if short_of(nothing) > 0 else None


def users_needed(
    share: float, rate: float, effect: float, *, confidence: float = 0.95, power: float = 0.8
) -> float | None:
    """How many users a test needs to see an effect.

    Args:
        share: of them who are held out.
        rate: the expected rate among those left alone.
        effect: how far it falls, as a share of it.
        confidence: 1 less the chance to see an effect that is not there.
        power: the chance to see one that is.

    Returns:
        None when nobody is held out, or a thousand million would not do.
    """
    if not 0 < share < 1 or not 0 < rate < 1:
        return None

    def lacking(log_users: float) -> float:
        users = math.exp(log_users)
        found = smallest_effect(users * (1 - share), users * share, rate, confidence=confidence, power=power)
        return (found or rate) - effect * rate

    most = math.log(1e9)
    least = math.log(2 / min(share, 1 - share))
    if lacking(most) > 0:
        return None
    return math.exp(brentq(lacking, least, most, xtol=1e-6)) if lacking(least) > 0 else math.exp(least)
