"""Experiments are read out: a planted effect is found, none is not, and what cannot be read says so."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.time import DAY
from monitoring.experiments.plan import look_of
from monitoring.experiments.publish import shape_of
from monitoring.experiments.read_out import ReadOut, read_out
from monitoring.experiments.words import words_of
from monitoring.statistics.effects.boundaries import always_valid
from segments.power import smallest_effect
from segments.variants import Trial, trials
from serving.activation.assignments import ASSIGNED, DELIVERED, WITHHELD
from tests.segments.worlds import moving
from tests.serving.activation.scenes import going_to

SPEND = {"sum_of": "purchase", "within": "14d", "among": "tenure_days >= 0"}
BUY = {"will": "purchase", "within": "14d", "among": "tenure_days >= 0"}
CHURN = {"will_not": "visit", "within": "14d", "among": "days_since_visit < 28",
         "profit": {"contact": 1, "incentive": 10, "value": 200}}  # fmt: skip
HALF = {"nothing": 0.5, "mail": 0.5}


@dataclass
class World:
    """Users who enter one after the other, each with a probability to churn."""

    trial: Trial
    definition: Any
    assigned: pl.DataFrame
    labels: dict[str, pl.DataFrame]

    def read(self, through: int = 400 * DAY, **more: Any) -> ReadOut:
        ripe = {
            name: rows.filter(pl.col("at") + self.definition.outcomes[name].reach <= through)
            for name, rows in self.labels.items()
        }
        return read_out(self.trial, self.assigned, ripe, self.definition, through, **more)


def world(
    seed: int,
    count: int,
    effects: dict[str, float] | None = None,
    *,
    variants: dict[str, float] | None = None,
    delivered: float = 1.0,
    sharper: float = 1.0,
    ties: bool = False,
    **plan: Any,
) -> World:
    """A world with effects on churn by variant.

    Args:
        seed: of the draws.
        count: how many enter, a minute apart.
        effects: what is added to the probability of each variant.
        variants: the shares.
        delivered: the share of messages that arrive; who gets none is not affected.
        sharper: of the logits that were predicted over the right ones.
        ties: all enter at once.
        plan: more of the definition.
    """
    rule = {"of": "segments.cart", "destination": "hook", "variants": variants or HALF, "primary": "churn",
            "better": "less", "starts": "1970-04-12"}  # fmt: skip
    definition = moving(
        destinations={"hook": going_to("http://localhost/")},
        outcomes={"churn": CHURN, "buy": BUY, "spend": SPEND},
        experiments={"winback": rule | plan},
    )
    [trial] = trials(definition).values()
    rng = np.random.default_rng(seed)
    names = [f"u{i:06d}" for i in range(count)]
    given = rng.choice(list(trial.rule.variants), count, p=list(trial.rule.variants.values()))
    p = rng.beta(2, 3, count)
    arrives = (given != "nothing") & (rng.random(count) < delivered)
    moved = np.array([(effects or {}).get(name, 0.0) for name in given]) * arrives
    churned = rng.random(count) < np.clip(p + moved, 0, 1)
    odds = (p / (1 - p)) ** sharper
    predicted = [json.dumps({"churn": float(x)}) for x in odds / (1 + odds)]
    at = 101 * DAY + (0 if ties else np.arange(count) * 60_000_000) + np.zeros(count, dtype=np.int64)
    exposures = np.where(given == "nothing", WITHHELD, np.where(arrives, DELIVERED, "failed"))
    assigned = pl.DataFrame(
        {"user": names, "variant": given, "at": at, "predicted": predicted, "exposure": exposures,
         "exposed_at": at, "mixed": False}, schema=ASSIGNED,
    )  # fmt: skip
    bought = rng.random(count) < 0.2
    spent = np.where(bought, rng.lognormal(3, 1, count), 0.0)
    labels = {name: pl.DataFrame({"user": names, "at": at, "label": value.astype(np.float64)})
              for name, value in (("churn", churned), ("buy", bought), ("spend", spent))}  # fmt: skip
    return World(trial, definition, assigned, labels)


def test_a_planted_effect_is_found_at_the_last_look_and_priced() -> None:
    found = world(1, 4_000, {"mail": -0.08}, users=4_000).read()
    assert (found.look.number, found.look.final, found.look.following) == (5, True, None)
    row = found.of("churn", "mail")
    assert row.low is not None
    assert row.high is not None
    assert row.low < -0.08 < row.high < 0
    assert row.comparison.adjusted is not None
    assert row.comparison.adjusted.theta == pytest.approx(1, abs=4 * row.comparison.adjusted.error)
    assert row.value is not None
    assert row.value[0] == pytest.approx(-(row.effect or 0) * 200 - 10 * row.comparison.means[1] - 1)
    assert row.value[1] < row.value[0] < row.value[2]
    [verdict] = words_of(found)
    assert verdict.startswith("mail, look 5 of 5: better than nothing, less churn: -0.")


def test_more_of_what_is_not_wanted_is_worse() -> None:
    [verdict] = words_of(world(2, 4_000, {"mail": 0.08}, users=4_000).read())
    assert "worse than nothing, more churn: +0." in verdict


def test_the_smallest_effect_seen_is_a_change_that_is_wanted() -> None:
    """Where more is wanted a rise, of which the variance is another; of secondary outcomes a fall."""
    seen = {}
    for better in ("less", "more"):
        row = world(2, 4_000, users=4_000, better=better, secondary=["buy"]).read().of("buy", "mail")
        assert row.comparison.smallest == pytest.approx(smallest_effect(*row.comparison.users, row.comparison.means[1]))
        of_primary = world(2, 4_000, users=4_000, better=better).read().of("churn", "mail").comparison
        rise = better == "more"
        seen[better] = smallest_effect(*of_primary.users, of_primary.means[1], rise=rise)
        assert of_primary.smallest == pytest.approx(seen[better])
    assert seen["less"] != seen["more"]


def test_no_effect_is_not_claimed() -> None:
    found = world(3, 4_000, users=4_000).read()
    assert not any(row.shown for row in found.rows)
    [verdict] = words_of(found)
    assert verdict.startswith("mail, look 5 of 5: no difference was shown: ")


def test_there_is_no_winner_before_the_first_look() -> None:
    made = world(4, 4_000, {"mail": -0.3}, users=4_000)
    found = made.read(through=101 * DAY + 14 * DAY + 798 * 60_000_000)
    assert found.look == look_of(made.trial.rule, 799, ended=False)
    assert found.look.number == 0
    assert all(row.effect is None and row.p_value is None and row.value is None for row in found.rows)
    assert next(iter(words_of(found))) == "no look yet: the first needs 800 matured users of all variants; 799 have"
    assert all(line.mean is None for line in shape_of(found).rows)
    assert made.read(through=101 * DAY + 14 * DAY + 799 * 60_000_000).look.number == 1


def test_a_look_says_the_same_on_whatever_day_it_is_read() -> None:
    made = world(5, 4_000, {"mail": -0.1}, users=4_000)
    first, later = (made.read(through=115 * DAY + minutes * 60_000_000) for minutes in (800, 1_500))
    assert replace(first.look, matured=0) == replace(later.look, matured=0)
    one, other = first.of("churn", "mail"), later.of("churn", "mail")
    assert (one.low, one.high, one.comparison) == (other.low, other.high, other.comparison)


def test_looks_spend_alpha_and_the_last_one_what_is_left() -> None:
    rule = world(6, 100, users=1_000).trial.rule
    edges = [look_of(rule, n, ended=False).boundary for n in (200, 400, 600, 800, 1_000)]
    assert edges == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=0.003)
    short = look_of(rule, 500, ended=True)
    assert (short.number, short.final, short.users) == (3, True, 500)
    assert short.boundary is not None
    assert 1.96 < short.boundary < 2.1, "less than planned came, and the last look spends what is left"
    assert look_of(rule, 500, ended=False).number == 2
    more = look_of(rule, 1_500, ended=True)
    assert (more.users, more.final) == (1_000, True), "who comes after the last look is not counted"


def test_without_a_plan_intervals_hold_at_any_time() -> None:
    made = world(7, 2_000, {"mail": -0.15})
    found = made.read()
    row = found.of("churn", "mail")
    assert (found.look.of, found.look.final) == (None, False)
    assert row.comparison.best is not None
    assert row.low is not None
    assert row.high is not None
    reach = always_valid(2_000, alpha=0.05) * row.comparison.best.effect.error
    assert (row.high - row.low) / 2 == pytest.approx(reach)
    assert world(7, 2_000, {"mail": -0.15}, users=2_000).read(at_any_time=True).of("churn", "mail").low == row.low


def test_arms_that_are_not_as_planned_stop_everything() -> None:
    made = world(8, 4_000, {"mail": -0.2}, users=4_000)
    lost = made.assigned.filter((pl.col("variant") == "mail") | (pl.int_range(pl.len()) % 5 > 0))
    found = World(made.trial, made.definition, lost, made.labels).read()
    assert found.balance.stop
    assert all(row.effect is None and row.value is None for row in found.rows)
    [words] = words_of(found)
    assert words.startswith("the arms are not as planned (p = ")
    assert shape_of(found).balance.stop


def test_nobody_and_an_empty_arm_have_a_word_and_no_effect() -> None:
    made = world(9, 1_000)
    nobody = World(made.trial, made.definition, made.assigned.clear(), made.labels).read()
    assert list(words_of(nobody)) == ["nobody who entered segments.cart has been assigned yet; it starts on 1970-04-12"]
    few = World(made.trial, made.definition, made.assigned.filter(variant="mail").head(4), made.labels).read()
    assert all(row.effect is None for row in few.rows)
    assert "NaN" not in shape_of(nobody).model_dump_json() + shape_of(few).model_dump_json()


def test_who_was_in_two_arms_is_left_out() -> None:
    made = world(10, 2_000, users=2_000)
    two = frozenset(made.assigned["user"].head(30))
    found = made.read(mixed=two)
    assert found.both_arms == 30
    assert sum(found.assigned.values()) == 1_970
    assert sum(found.of("churn", "mail").comparison.users) == 1_970


def test_the_effect_on_those_reached_is_larger_and_comes_second() -> None:
    row = world(11, 20_000, {"mail": -0.1}, delivered=0.5, users=20_000).read().of("churn", "mail")
    assert row.effect == pytest.approx(-0.05, abs=0.02)
    assert row.comparison.reached_share == pytest.approx(0.5, abs=0.02)
    assert row.comparison.reached is not None
    assert row.comparison.reached.value == pytest.approx((row.comparison.plain.effect.value) / 0.5, rel=0.05)  # type: ignore[union-attr]
    full = world(11, 2_000, users=2_000).read().of("churn", "mail")
    assert full.comparison.reached is None


def test_secondary_outcomes_are_corrected_and_wait_for_the_end_of_the_plan() -> None:
    made = world(12, 4_000, {"mail": -0.1}, users=4_000, secondary=["buy", "spend"])
    before = made.read(through=115 * DAY + 2_000 * 60_000_000)
    assert before.look.number == 2
    assert before.of("buy", "mail").p_value is None
    found = made.read()
    buy, spend = found.of("buy", "mail"), found.of("spend", "mail")
    raw = [row.comparison.p_value(at_any_time=False) for row in (buy, spend)]
    assert (buy.p_value or 0) >= raw[0]
    assert min(buy.p_value or 0, spend.p_value or 0) == pytest.approx(min(1.0, 2 * min(raw)))
    assert spend.comparison.adjusted is None, "nothing was predicted of it"


def test_thirds_by_what_was_predicted_are_exploratory() -> None:
    found = world(13, 6_000, {"mail": -0.1}, users=6_000).read()
    slices = [row for row in found.rows if row.slice != "everybody"]
    assert [row.slice for row in slices] == ["lowest third", "middle third", "highest third"]
    assert sum(sum(row.comparison.users) for row in slices) == 6_000
    assert all(row.p_value is not None and row.outcome == "churn" for row in slices)


def test_probabilities_that_are_not_calibrated_are_named() -> None:
    words = list(words_of(world(14, 8_000, sharper=2.0, users=8_000).read()))
    assert any(line.startswith("mail: theta is 0.") and "are not calibrated" in line for line in words)


def test_several_variants_share_alpha() -> None:
    three = {"nothing": 0.4, "mail": 0.3, "voucher": 0.3}
    found = world(15, 6_000, {"voucher": -0.15}, variants=three, users=6_000).read()
    assert found.look.boundary == pytest.approx(look_of(found.trial.rule, 6_000, ended=False).boundary or 0)
    assert (found.look.boundary or 0) > 2.2, "half of alpha for each"
    assert not found.of("churn", "mail").shown
    assert found.of("churn", "voucher").shown


def test_users_who_enter_at_once_have_an_order() -> None:
    made = world(16, 1_000, users=1_000, ties=True)
    shuffled = World(made.trial, made.definition, made.assigned.sample(fraction=1, shuffle=True, seed=1), made.labels)
    assert shape_of(made.read()) == shape_of(shuffled.read())


@pytest.mark.long
def test_five_looks_at_no_effect_find_one_in_twenty() -> None:
    wrong, worlds = 0, 200
    for seed in range(worlds):
        made = world(1_000 + seed, 500, users=500)
        looks = (made.read(through=115 * DAY + n * 60_000_000) for n in (99, 199, 299, 399, 499))
        wrong += any(found.of("churn", "mail").shown for found in looks)
    assert wrong / worlds < 0.05 + 3 * np.sqrt(0.05 * 0.95 / worlds)
    assert wrong > 0
