"""Moves between states, tiers, groups and segments: steady, and each with its cause."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.time import DAY, HOUR
from segments.tiers import SILENT, VALUE_TIERS, TierCuts, tiers_of
from segments.transitions.membership import IN, Hysteresis, Observation, UserMemberships, rule_digests
from segments.transitions.transition import Scoring, Transition, TransitionFinder
from tests.segments.worlds import CUTS, moving

DEFINITION = moving()
MODELS = {"churn": "churn/1"}


def teller(definition=DEFINITION, models: Mapping[str, str] = MODELS, known=None) -> TransitionFinder:
    known = {DEFINITION.version: rule_digests(DEFINITION)} if known is None else known
    return TransitionFinder(Hysteresis(definition, CUTS), models, definition.version, known)


TELLER = teller()


def seen(
    at: int, *, last_seen: int = 0, leaving: tuple[str, ...] = (), churn: float | None = None, **values: str
) -> Observation:
    named = {name.replace("__", "."): value for name, value in values.items()}
    if churn is not None:
        named["tiers.churn"] = tiers_of(np.array([churn]), CUTS["churn"])[0]
    scores = {"churn": churn} if churn is not None else {}
    return Observation("u1", at, named, frozenset(leaving), scores, last_seen)


def walk(
    steps: list[Observation], finder: TransitionFinder | None = None
) -> tuple[UserMemberships | None, list[Transition]]:
    """What the steps make of a user, one scoring after the other."""
    memberships, made = None, []
    last = Scoring(-1, MODELS, DEFINITION.version)
    for step in steps:
        memberships, moved = (finder or TELLER).of(memberships, step, last, {})
        made += moved
        last = Scoring(step.at, MODELS, DEFINITION.version)
    return memberships, made


def path(made: list[Transition], dimension: str) -> list[tuple[str | None, str | None]]:
    return [(t.before, t.after) for t in made if t.dimension == dimension]


def test_each_move_is_reported_once_with_what_was_before() -> None:
    _, made = walk([seen(0, states="new"), seen(DAY, states="new"), seen(2 * DAY, states="active", segments__cart=IN),
                    seen(3 * DAY, states="active")])  # fmt: skip
    assert path(made, "states") == [(None, "new"), ("new", "active")]
    assert path(made, "segments.cart") == [(None, IN), (IN, None)]


def test_a_state_is_kept_for_its_stay() -> None:
    memberships, made = walk([seen(0, states="silent"), seen(DAY, states="active"), seen(3 * DAY, states="active")])
    assert path(made, "states") == [(None, "silent"), ("silent", "active")]
    assert made[-1].at == 3 * DAY
    assert memberships is not None
    assert memberships.held["states"] == ("active", 3 * DAY)


def test_a_segment_is_left_when_its_until_holds() -> None:
    steps = [seen(0, segments__regular=IN), seen(DAY), seen(2 * DAY, leaving=("regular",))]
    _, made = walk(steps)
    assert [(t.at, t.after) for t in made] == [(0, IN), (2 * DAY, None)]


def test_a_segment_of_a_tier_is_kept_for_a_day_and_one_of_behaviour_is_not() -> None:
    _, made = walk([seen(0, segments__leaving=IN, segments__cart=IN), seen(HOUR)])
    assert path(made, "segments.cart") == [(None, IN), (IN, None)]
    assert path(made, "segments.leaving") == [(None, IN)]
    _, made = walk([seen(0, segments__leaving=IN), seen(DAY)])
    assert path(made, "segments.leaving") == [(None, IN), (IN, None)]


@given(st.lists(st.floats(0.38, 0.42), min_size=1, max_size=30))
def test_a_likelihood_that_wavers_about_the_cut_off_moves_nobody(wavering: list[float]) -> None:
    steps = [seen(0, churn=0.5)] + [seen((i + 2) * DAY, churn=p) for i, p in enumerate(wavering)]
    assert path(walk(steps)[1], "tiers.churn") == [(None, "most_likely")]


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=40))
def test_who_is_far_from_the_cut_offs_counts_as_what_they_are(likelihoods: list[float]) -> None:
    steps = [seen(i * 2 * DAY, churn=p) for i, p in enumerate(likelihoods)]
    memberships, _ = walk(steps)
    assert memberships is not None
    last = likelihoods[-1]
    if min(abs(last - 0.4), abs(last - 0.1)) > 0.03:
        assert memberships.held["tiers.churn"][0] == steps[-1].values["tiers.churn"]


def test_nothing_to_say_is_reported_at_once() -> None:
    _, made = walk([seen(0, churn=0.5), seen(HOUR, tiers__churn="not_enough_to_say")])
    assert path(made, "tiers.churn")[-1] == ("most_likely", "not_enough_to_say")


@pytest.mark.parametrize(("last_seen", "cause"), [(DAY + 1, "behaviour"), (DAY - 1, "time")])
def test_the_cause_is_what_the_user_did_or_that_time_passed(last_seen: int, cause: str) -> None:
    _, made = walk([seen(DAY, states="new"), seen(2 * DAY, states="active", last_seen=last_seen)])
    assert made[-1].cause == cause


EARLIER = Scoring(DAY, MODELS, DEFINITION.version)


@pytest.mark.parametrize(
    ("before", "now", "last_seen", "cause"),
    [
        (1, 2, DAY - HOUR, "behaviour"),  # it happened before the last scoring, and arrived after it
        (0, 2, DAY - HOUR, "behaviour"),  # of who was not in the last batch nothing was known
        (2, 2, DAY - HOUR, "time"),
        (2, 2, DAY + HOUR, "time"),  # the last scoring had seen it, by a clock that was behind
        (None, 2, DAY + HOUR, "behaviour"),  # a batch of before this was kept
        (None, 2, DAY - HOUR, "time"),
    ],
)
def test_the_cause_is_what_came_in_whenever_it_happened(
    before: int | None, now: int, last_seen: int, cause: str
) -> None:
    was = UserMemberships(DAY, {"segments.cart": (IN, 0)}, {}, MODELS, DEFINITION.version, before)
    later = Observation("u1", DAY + 2 * HOUR, {}, frozenset(), {}, last_seen, now)
    [move] = TELLER.of(was, later, EARLIER, {}, before)[1]
    assert move.cause == cause


def test_a_new_definition_is_not_held_against_what_another_one_counted() -> None:
    other = teller(moving(windows=[1, 7, 14, 30, 60, 90]), known={DEFINITION.version: {}})
    was = UserMemberships(DAY, {"segments.cart": (IN, 0)}, {}, MODELS, DEFINITION.version, 1)
    later = Observation("u1", 2 * DAY, {}, frozenset(), {}, DAY - 1, 2)
    assert {move.cause for move in other.of(was, later, EARLIER, {}, 1)[1]} == {"new_definition"}


def test_nobody_moves_by_a_model_that_is_not_there() -> None:
    held = {"states": ("active", 0), "tiers.churn": ("most_likely", 0)}
    held |= {"segments.leaving": (IN, 0), "segments.cart": (IN, 0)}
    was = UserMemberships(0, dict(held), {"churn": 0.5}, MODELS, DEFINITION.version)
    untrained = TransitionFinder(Hysteresis(DEFINITION, {}), {}, DEFINITION.version, {})
    now = seen(9 * DAY, states="silent", tiers__churn="not_enough_to_say")
    memberships, made = untrained.of(was, now, Scoring(8 * DAY, MODELS, DEFINITION.version), {})
    assert {move.dimension for move in made} == {"states", "segments.cart"}
    assert memberships.held["tiers.churn"] == ("most_likely", 0)
    assert memberships.held["segments.leaving"] == (IN, 0)
    first, _ = untrained.of(None, now, Scoring(8 * DAY, {}, ""), {})
    assert "tiers.churn" not in first.held, "no transition to not_enough_to_say for who had no tier"
    trained = seen(10 * DAY, states="silent", churn=0.5)
    [move] = TELLER.of(first, trained, Scoring(9 * DAY, {}, DEFINITION.version), {})[1]
    assert (move.dimension, move.before, move.after, move.cause) == ("tiers.churn", None, "most_likely", "new_model")


def test_a_standing_of_an_older_version_is_read() -> None:
    assert UserMemberships.of_json(5, '[{"states":["new",1]},{},{},"x@1"]') == UserMemberships(
        5, {"states": ("new", 1)}, {}, {}, "x@1"
    )


def moved_by(definition, models: Mapping[str, str], was: Scoring) -> dict[str, str]:
    """The causes when a user leaves everything who was in everything."""
    before = UserMemberships(0, {"states": ("active", 0), "rfm": ("Champions", 0), "tiers.churn": ("most_likely", 0),
                          "segments.cart": (IN, 0), "segments.leaving": (IN, 0)})  # fmt: skip
    now = seen(9 * DAY, states="silent", rfm="At Risk", churn=0.01, last_seen=9 * DAY - 1)
    return {t.dimension: t.cause for t in teller(definition, models).of(before, now, was, {})[1]}


def test_a_new_model_is_the_cause_of_what_rests_on_it() -> None:
    causes = moved_by(DEFINITION, {"churn": "churn/2"}, Scoring(8 * DAY, MODELS, DEFINITION.version))
    assert causes == {"states": "behaviour", "rfm": "behaviour", "tiers.churn": "new_model",
                      "segments.cart": "behaviour", "segments.leaving": "new_model"}  # fmt: skip


@pytest.mark.parametrize(("before", "now", "cause"), [
    ("churn/1@1a2b3c4d5e6f", "churn/1@1a2b3c4d5e6f", "behaviour"),
    ("churn/1@1a2b3c4d5e6f", "churn/1@77aa77aa77aa", "new_model"),
    ("churn/1@1a2b3c4d5e6f", "churn/2@1a2b3c4d5e6f", "new_model"),
    ("churn/1", "churn/1@1a2b3c4d5e6f", "behaviour"),
    ("churn/1@1a2b3c4d5e6f", "churn/1", "behaviour"),
    ("churn/1", "churn/2@1a2b3c4d5e6f", "new_model"),
])  # fmt: skip
def test_a_model_of_the_same_number_and_another_card_is_another_model(before: str, now: str, cause: str) -> None:
    """As after a registry was restored. Before digests were kept, the number says which model it was."""
    causes = moved_by(DEFINITION, {"churn": now}, Scoring(8 * DAY, {"churn": before}, DEFINITION.version))
    assert causes["tiers.churn"] == causes["segments.leaving"] == cause
    assert causes["segments.cart"] == "behaviour"


def test_a_new_rule_is_the_cause_of_moves_of_its_own() -> None:
    segments = {name: rule.model_dump() for name, rule in DEFINITION.segments.items()}
    other = moving(segments=segments | {"cart": "days_since_cart_add < 2"})
    causes = moved_by(other, MODELS, Scoring(8 * DAY, MODELS, DEFINITION.version))
    assert causes["segments.cart"] == "new_definition"
    assert {causes[k] for k in ("states", "rfm", "tiers.churn", "segments.leaving")} == {"behaviour"}


def test_who_is_in_a_segment_that_is_no_more_leaves_it() -> None:
    fewer = moving(segments={"leaving": "churn_tier = 'most_likely'"})
    causes = moved_by(fewer, MODELS, Scoring(8 * DAY, MODELS, DEFINITION.version))
    assert causes["segments.cart"] == "new_definition"


def test_a_standing_reads_back_as_it_was() -> None:
    memberships, _ = walk([seen(0, states="new", churn=0.3, segments__cart=IN)])
    assert memberships is not None
    assert UserMemberships.of_json(memberships.at, memberships.to_json()) == memberships


SPENDING = moving(outcomes={
    "churn": {"will_not": "visit", "within": "14d", "among": "days_since_visit < 28"},
    "spend": {"sum_of": "purchase", "within": "30d", "among": "days_since_visit < 28"},
})  # fmt: skip
SPEND_CUTS = CUTS | {"spend": TierCuts(most=50.0, least=5.0, policy="capacity")}


@pytest.mark.parametrize(("amount", "tier"), [(51.0, "medium"), (54.9, "medium"), (56.0, "high"), (4.8, "medium"),
                                              (4.4, "low")])  # fmt: skip
def test_a_value_tier_is_left_when_the_amount_is_past_the_cut_off_by_the_margin(amount: float, tier: str) -> None:
    finder = TransitionFinder(Hysteresis(SPENDING, SPEND_CUTS), MODELS, SPENDING.version, {})
    steps = []
    for at, worth in ((0, 20.0), (4 * DAY, amount)):
        [called] = tiers_of(np.array([worth]), SPEND_CUTS["spend"], VALUE_TIERS)
        steps.append(Observation("u1", at, {"tiers.spend": called}, frozenset(), {"spend": worth}, 0))
    memberships, _ = walk(steps, finder)
    assert memberships is not None
    assert memberships.held["tiers.spend"][0] == tier


def test_a_segment_that_names_an_amount_rests_on_its_model() -> None:
    definition = moving(outcomes=SPENDING.amounts, segments={"big": "spend_amount > 100"})
    assert Hysteresis(definition, SPEND_CUTS).rests_on["segments.big"] == {"spend"}


def test_what_rests_on_a_missing_model_stays_as_it_was() -> None:
    """A model that is lost, or not trained yet, is no reason to leave a tier, nor to enter *not enough to say*."""
    memberships, _ = walk([seen(0, states="active", churn=0.9)])
    without = TransitionFinder(Hysteresis(DEFINITION, {}), {}, DEFINITION.version, {})
    silent = seen(DAY, states="silent", tiers__churn=SILENT)
    kept, moved = without.of(memberships, silent, Scoring(0, MODELS, DEFINITION.version), {})
    assert [(t.dimension, t.after) for t in moved] == [("states", "silent")]
    assert kept.held["tiers.churn"] == memberships.held["tiers.churn"]  # type: ignore[union-attr]
    new, moved = without.of(None, silent, Scoring(0, {}, DEFINITION.version), {})
    assert {t.dimension for t in moved} == {"states"}
    assert "tiers.churn" not in new.held
