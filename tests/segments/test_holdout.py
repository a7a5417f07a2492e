"""A stable, even share of each segment's users is held out."""

import numpy as np

from segments.holdout import Holdout, held_out_share
from tests.segments.worlds import moving

USERS = [f"u{i:06d}" for i in range(50_000)]


def shares(definition, dimension: str) -> np.ndarray:
    return Holdout(definition).of(USERS, [dimension] * len(USERS))


def test_the_share_is_what_was_asked_for_and_stays() -> None:
    held = shares(moving(), "segments.cart")
    assert abs(held.mean() - 0.05) < 0.004
    assert (shares(moving(), "segments.cart") == held).all()
    assert [USERS[i] for i in np.flatnonzero(held)[:3]] == ["u000000", "u000040", "u000090"], "the same for ever"
    assert (Holdout(moving()).of(USERS[:9], ["segments.cart"] * 9) == held[:9]).all(), "no matter who else is requested"


def test_a_larger_share_keeps_those_who_were_held_out() -> None:
    more = shares(moving(transitions={"holdout": 0.2}), "segments.cart")
    assert abs(more.mean() - 0.2) < 0.007
    assert more[shares(moving(), "segments.cart")].all()


def test_segments_hold_out_one_another_independently() -> None:
    definition = moving(transitions={"holdout": 0.2})
    cart, regular = shares(definition, "segments.cart"), shares(definition, "segments.regular")
    assert abs(regular[cart].mean() - 0.2) < 0.015


def test_a_segment_may_have_a_share_of_its_own() -> None:
    segments = {"all": {"when": "tenure_days >= 0", "holdout": 0}, "half": {"when": "tenure_days >= 0", "holdout": 0.5}}
    assert not shares(moving(segments=segments), "segments.all").any()
    assert abs(shares(moving(segments=segments), "segments.half").mean() - 0.5) < 0.01
    assert Holdout(moving()).of([], []).tolist() == []


def test_tiers_and_states_may_have_shares_of_their_own() -> None:
    definition = moving(transitions={"holdouts": {"tiers.churn": 0.3, "states": 0}})
    assert abs(shares(definition, "tiers.churn").mean() - 0.3) < 0.01
    assert not shares(definition, "states").any()
    assert (shares(definition, "segments.cart") == shares(moving(), "segments.cart")).all()
    assert shares(definition, "tiers.churn")[shares(moving(), "tiers.churn")].all(), "who was held out still is"
    assert [held_out_share(definition, name) for name in ("tiers.churn", "states", "rfm")] == [0.3, 0, 0.05]
    assert moving(transitions={"holdouts": {}}).version == moving(transitions={}).version
