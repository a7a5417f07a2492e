"""Read-outs of experiments, held against published ones and against worlds whose effect is known."""

import math
from dataclasses import astuple, dataclass

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import ttest_ind

from monitoring.statistics.effects.arm import Arm, PairedArm
from monitoring.statistics.effects.effect import Adjusted, Difference, Estimate, adjusted, against, difference, reached
from tests.monitoring.statistics.worlds import calibrated, labels

WORLDS, USERS, HELD_OUT = 4_000, 2_500, 500


def test_hillstroms_mail_to_women_brought_visits() -> None:
    found = difference(Arm.of_count(3_238, 21_387), Arm.of_count(2_262, 21_306))
    assert found.effect.value == pytest.approx(0.04523, abs=5e-6)
    assert found.effect.error == pytest.approx(0.00323, abs=5e-6)
    assert found.effect.value / found.effect.error == pytest.approx(14.0, abs=0.05)
    assert found.lift.value == pytest.approx(0.04523 / (2_262 / 21_306), abs=1e-4)
    assert found.p_value < 1e-40


def test_thorntons_incentives_brought_people_to_their_results() -> None:
    """Thornton 2008, American Economic Review 98: 1,745 of 2,211 who were offered something came, 211 of 623 others."""
    found = difference(Arm.of_count(1_745, 2_211), Arm.of_count(211, 623))
    assert (round(1_745 / 2_211, 3), round(211 / 623, 3)) == (0.789, 0.339)
    assert found.effect.value == pytest.approx(0.4506, abs=1e-4)
    assert found.effect.error == pytest.approx(0.0209, abs=1e-4)


def test_counts_are_zeros_and_ones() -> None:
    values = [1.0] * 7 + [0.0] * 13
    counted, summed = Arm.of_count(7, 20), Arm.of(values)
    assert (counted.users, counted.mean, counted.variance) == pytest.approx(
        (summed.users, summed.mean, summed.variance)
    )


def test_the_difference_is_welchs() -> None:
    draw = np.random.default_rng(1)
    treated, control = draw.exponential(2.0, 40_000), draw.exponential(1.98, 9_000)
    found = difference(Arm.of(treated), Arm.of(control))
    oracle = ttest_ind(treated, control, equal_var=False)
    interval = oracle.confidence_interval(0.95)
    assert found.p_value == pytest.approx(oracle.pvalue, abs=1e-3)
    assert (found.effect.low, found.effect.high) == pytest.approx((interval.low, interval.high), abs=1e-4)


def test_several_arms_have_one_control() -> None:
    control, arms = Arm.of_count(30, 100), {"mail": Arm.of_count(25, 100), "push": Arm.of_count(20, 90)}
    assert against(control, arms) == {name: difference(arm, control) for name, arm in arms.items()}
    with pytest.raises(ValueError, match="0 treated arms"):
        against(control, {})


@dataclass(frozen=True)
class Drawn:
    """What many worlds show."""

    raw: list[Difference]
    adjusted: list[Adjusted]
    reached: list[Estimate]
    tjur: list[float]


def worlds(seed: int, *, effect: float, sharper: bool = False) -> Drawn:
    """Worlds of 2,500 users, a fifth held out; 3 of 4 of the treated are reached, which changes their rate."""
    draw = np.random.default_rng(seed)
    drawn = Drawn([], [], [], [])
    for _ in range(WORLDS):
        p = calibrated(draw, USERS)
        took = np.arange(USERS) >= HELD_OUT
        took &= draw.random(USERS) < 0.75
        y = labels(draw, p * (1 + effect * took))
        x = expit(1.6 * logit(np.clip(p, 1e-6, 1 - 1e-6)) + 0.5) if sharper else p
        arms = [PairedArm.of(y[part], x[part]) for part in (slice(HELD_OUT, None), slice(HELD_OUT))]
        drawn.raw.append(difference(arms[0].plain, arms[1].plain))
        drawn.adjusted.append(adjusted(*arms))
        drawn.tjur.append(p[y == 1].mean() - p[y == 0].mean())
        if effect:
            drawn.reached.append(reached(PairedArm.reached(y[HELD_OUT:], took[HELD_OUT:]),
                                         PairedArm.reached(y[:HELD_OUT], took[:HELD_OUT])))  # fmt: skip
    return drawn


def covered(estimates: list[Estimate], truth: float) -> float:
    return float(np.mean([one.low <= truth <= one.high for one in estimates]))


def test_without_effect_one_world_in_20_shows_one_and_variance_falls_by_what_p_explains() -> None:
    drawn = worlds(2, effect=0.0)
    assert abs(np.mean([one.p_value < 0.05 for one in drawn.raw]) - 0.05) < 0.01
    assert abs(np.mean([one.difference.p_value < 0.05 for one in drawn.adjusted]) - 0.05) < 0.01
    cut, tjur = np.mean([one.cut for one in drawn.adjusted]), np.mean(drawn.tjur)
    assert cut == pytest.approx(tjur, abs=0.02)
    assert np.mean([one.theta for one in drawn.adjusted]) == pytest.approx(1.0, abs=0.01)
    variances = [np.var([one.effect.value for one in some])
                 for some in ([one.difference for one in drawn.adjusted], drawn.raw)]  # fmt: skip
    assert 1 - variances[0] / variances[1] == pytest.approx(tjur, abs=0.04), "really, not only as reported"


def test_a_planted_effect_is_covered() -> None:
    drawn = worlds(3, effect=-0.2)
    truth = -0.2 * 0.75 * 0.3
    assert abs(covered([one.effect for one in drawn.raw], truth) - 0.95) < 0.01
    assert abs(covered([one.difference.effect for one in drawn.adjusted], truth) - 0.95) < 0.01
    assert abs(covered([one.lift for one in drawn.raw], -0.15) - 0.95) < 0.01
    assert abs(covered([one.difference.lift for one in drawn.adjusted], -0.15) - 0.95) < 0.01
    assert abs(covered(drawn.reached, -0.2 * 0.3) - 0.95) < 0.01
    found = [np.mean([one.p_value < 0.05 for one in some])
             for some in (drawn.raw, [one.difference for one in drawn.adjusted])]  # fmt: skip
    assert found[1] > found[0] + 0.1, "with less variance, more often found"


def test_a_wrong_probability_costs_nothing_and_theta_shows_it() -> None:
    drawn = worlds(4, effect=0.0, sharper=True)
    assert abs(np.mean([one.difference.p_value < 0.05 for one in drawn.adjusted]) - 0.05) < 0.01
    assert np.mean([one.theta for one in drawn.adjusted]) < 0.85
    assert np.mean([one.cut for one in drawn.adjusted]) > 0.25


def test_a_covariate_that_is_the_same_for_all_adjusts_nothing() -> None:
    y = np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    found = adjusted(PairedArm.of(y, np.full(5, 0.3)), PairedArm.of(y[:3], np.full(3, 0.3)))
    assert (found.theta, found.cut) == (0.0, 0.0)
    plain = difference(Arm.of(y), Arm.of(y[:3]))
    assert astuple(found.difference.effect) == pytest.approx(astuple(plain.effect))
    assert found.difference.p_value == pytest.approx(plain.p_value)
    perfect = adjusted(PairedArm.of(y, y), PairedArm.of(y[:3], y[:3]))
    assert (perfect.theta, perfect.cut) == pytest.approx((1.0, 1.0))


def test_an_effect_does_not_enter_theta() -> None:
    draw = np.random.default_rng(5)
    p = calibrated(draw, 2_000)
    y = labels(draw, p)
    none = adjusted(PairedArm.of(y[:1_000], p[:1_000]), PairedArm.of(y[1_000:], p[1_000:]))
    huge = adjusted(PairedArm.of(y[:1_000] + 50, p[:1_000]), PairedArm.of(y[1_000:], p[1_000:]))
    assert huge.theta == pytest.approx(none.theta)
    assert huge.difference.effect.value == pytest.approx(none.difference.effect.value + 50)


def test_what_does_not_vary_has_no_p_value_and_what_is_0_no_lift() -> None:
    found = difference(Arm.of([1.0, 1.0]), Arm.of([0.0, 0.0]))
    assert (found.effect.value, found.effect.error) == (1.0, 0.0)
    assert math.isnan(found.p_value)
    assert math.isnan(found.lift.value)
    assert math.isnan(adjusted(PairedArm.of([1, 1], [0, 1]), PairedArm.of([0, 0], [0, 1])).cut)
    nobody = PairedArm.reached([1.0, 0.0, 1.0], [0, 0, 0])
    assert math.isnan(reached(nobody, nobody).value)
    assert math.isnan(reached(nobody, nobody).low)


def test_an_arm_has_at_least_two_users() -> None:
    for values in ([], [1.0]):
        with pytest.raises(ValueError, match=f"the arm has {len(values)} user"):
            Arm.of(values)
        with pytest.raises(ValueError, match=f"the arm has {len(values)} user"):
            PairedArm.of(values, values)
        with pytest.raises(ValueError, match=f"the arm has {len(values)} user"):
            Arm.of_count(0, len(values))
    with pytest.raises(ValueError, match="the arm has 1 user;"):
        Arm(1, 0.5, 0.1)
    with pytest.raises(ValueError, match="7 of 5 users"):
        Arm.of_count(7, 5)
    with pytest.raises(ValueError, match="outcomes hold 1 values"):
        Arm.of([1.0, math.nan])
    with pytest.raises(ValueError, match="3 other numbers for 2 users"):
        PairedArm.of([1.0, 0.0], [1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match=r"labels hold 0\.5"):
        PairedArm.reached([1.0, 0.0], [0.5, 1.0])
    with pytest.raises(ValueError, match=r"confidence is 95"):
        difference(Arm.of_count(3, 9), Arm.of_count(3, 9), confidence=95)
