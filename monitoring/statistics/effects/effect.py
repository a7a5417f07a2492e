"""Whether acting helped: arms compared as they were assigned, after adjustment, and among those who were reached."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.special import ndtr

from monitoring.statistics.effects.arm import Arm, PairedArm
from monitoring.statistics.inputs import two_sided


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its uncertainty.

    Attributes:
        value: the estimate.
        error: its standard error.
        low: lower end of the interval.
        high: upper end of it.
    """

    value: float
    error: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, error: float, confidence: float) -> "Estimate":
        """Add the normal interval."""
        reach = two_sided(confidence) * error
        return cls(value, error, value - reach, value + reach)


@dataclass(frozen=True, slots=True)
class Difference:
    """A treated arm against the control.

    Attributes:
        effect: mean of the treated less that of the control (intention to treat).
        lift: the effect over the mean of the control; NaN where that is 0.
        p_value: two-sided, of no effect; NaN where no arm varies.
    """

    effect: Estimate
    lift: Estimate
    p_value: float


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A treated arm against the control, adjusted by a covariate.

    Attributes:
        difference: of the adjusted outcomes.
        theta: the coefficient of the covariate. It is about 1 where the covariate is a calibrated probability
            of the outcome; far from 1, the probability is not calibrated.
        cut: share of the variance of the effect that the adjustment removes; NaN where there was none.
        error: the standard error of theta; NaN where the covariate is the same for everybody.
    """

    difference: Difference
    theta: float
    cut: float
    error: float = math.nan


def difference(treated: Arm, control: Arm, *, confidence: float = 0.95) -> Difference:
    """Compare two arms by their means, each with a variance of its own.

    The interval of the lift is by the delta method: ``Var(T/C) = Var(T)/C² + T² Var(C)/C⁴``.

    Args:
        treated: users who were to be treated.
        control: users who were held out.
        confidence: of the intervals.

    Raises:
        ValueError: the confidence is not between 0 and 1.
    """
    of_treated, of_control = treated.variance / treated.users, control.variance / control.users
    value, error = treated.mean - control.mean, math.sqrt(of_treated + of_control)
    lift, lift_error = math.nan, math.nan
    if control.mean != 0:
        lift = value / control.mean
        lift_error = math.sqrt(of_treated + (treated.mean / control.mean) ** 2 * of_control) / abs(control.mean)
    return Difference(
        effect=Estimate.of(value, error, confidence),
        lift=Estimate.of(lift, lift_error, confidence),
        p_value=float(2 * ndtr(-abs(value) / error)) if error > 0 else math.nan,
    )


def against(control: Arm, treated: Mapping[str, Arm], *, confidence: float = 0.95) -> dict[str, Difference]:
    """Compare several arms with one control; the p-values are not corrected for there being several.

    Args:
        control: users who were held out.
        treated: the other arms by name.
        confidence: of each interval.

    Raises:
        ValueError: there is no treated arm, or the confidence is not between 0 and 1.
    """
    if not treated:
        raise ValueError("there are 0 treated arms; it takes at least 1 beside the control")
    return {name: difference(arm, control, confidence=confidence) for name, arm in treated.items()}


def adjusted(treated: PairedArm, control: PairedArm, *, confidence: float = 0.95) -> Adjusted:
    """Compare two arms after adjusting for a covariate (CUPED: Deng et al. 2013; CUPAC: Li et al. 2020).

    ``θ`` is the covariance over the variance of the covariate within the arms, both arms together, so that an effect
    does not enter it. The variance of each arm is ``(Var(Y) + θ² Var(X) - 2 θ Cov(X, Y)) / n``.

    Args:
        treated: the outcome beside a number known before the assignment, such as the probability predicted then by a
            model that was trained before.
        control: the same of users who were held out.
        confidence: of the intervals.

    Returns:
        With ``theta`` 0, and unadjusted, where the covariate is the same for everybody.

    Raises:
        ValueError: the confidence is not between 0 and 1.
    """
    arms = (treated, control)
    spread = sum((arm.users - 1) * arm.other_variance for arm in arms)
    theta = sum((arm.users - 1) * arm.covariance for arm in arms) / spread if spread > 0 else 0.0
    centre = sum(arm.users * arm.other_mean for arm in arms) / sum(arm.users for arm in arms)
    found = difference(treated.less(theta, centre), control.less(theta, centre), confidence=confidence)
    before = difference(treated.plain, control.plain, confidence=confidence).effect.error
    cut = 1 - (found.effect.error / before) ** 2 if before > 0 else math.nan
    left = sum((arm.users - 1) * arm.less(theta).variance for arm in arms)
    error = math.sqrt(left / (sum(arm.users for arm in arms) - 3) / spread) if spread > 0 else math.nan
    return Adjusted(found, theta, cut, error)


def reached(treated: PairedArm, control: PairedArm, *, confidence: float = 0.95) -> Estimate:
    """Estimate the effect on those who were reached because they were assigned (Imbens and Angrist 1994).

    ``λ = (Ȳ_T - Ȳ_C) / (D̄_T - D̄_C)``, with the standard error of the mean difference of ``Y - λ D``. It assumes that
    an assignment does nothing to users who are not reached, and keeps nobody from being reached.

    Args:
        treated: the outcome beside whether each user was reached, 0 or 1: `PairedArm.reached`.
        control: the same of users who were held out.
        confidence: of the interval.

    Returns:
        NaN where the same share was reached in both arms.

    Raises:
        ValueError: the confidence is not between 0 and 1.
    """
    share = treated.other_mean - control.other_mean
    if share == 0:
        return Estimate.of(math.nan, math.nan, confidence)
    value = (treated.mean - control.mean) / share
    left = difference(treated.less(value), control.less(value), confidence=confidence)
    return Estimate.of(value, left.effect.error / abs(share), confidence)
