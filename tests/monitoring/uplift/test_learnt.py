"""Uplift: a planted effect that differs between users is found and ranked; without one no tiers are offered."""

from dataclasses import replace

import numpy as np
import pytest

from monitoring.uplift.fitted import fitted
from monitoring.uplift.learners import s_learner, sequential
from monitoring.uplift.learnt import Arms, Uplift, learn
from monitoring.uplift.tiers import DO_NOT_DISTURB, LOST_CAUSE, PERSUADABLE, SURE_THING, UNSURE, groups_of
from segments.variants import trials
from tests.monitoring.experiments.test_read_out import world

MADE = world(1, 100, users=1_000)
TRIAL, DEFINITION = next(iter(trials(MADE.definition).values())), MADE.definition


def arms(seed: int, users: int, *, helps: float, hurts: float, share: float = 0.5) -> tuple[Arms, np.ndarray]:
    """Users of six features; the first decides whom acting helps. What is wanted is to stay."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(users, 6))
    effect = np.where(X[:, 0] > 0, helps, hurts)
    stays = np.clip(0.5 + 0.15 * np.tanh(X[:, 1]), 0, 1)
    treated = (rng.random(users) < share).astype(float)
    y = (rng.random(users) < np.clip(stays + effect * treated, 0, 1)).astype(float)
    return Arms(X, treated, y, [f"u{i}" for i in range(users)], share), effect


def learnt(made: Arms) -> Uplift:
    return learn(made, TRIAL, "mail", DEFINITION)


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_an_effect_that_differs_is_found_and_ranked(share: float) -> None:
    made, effect = arms(1, 8_000, helps=0.25, hurts=-0.15, share=share)
    found = learnt(made)
    assert found.offered
    assert "finds users who are moved by mail" in found.words
    tiers = [group.tier for group in found.groups]
    assert tiers[0] == PERSUADABLE
    assert tiers[-1] == DO_NOT_DISTURB
    assert found.groups[0].low < 0.25 < found.groups[0].high
    truth = np.sort(effect)[::-1]
    best = (np.cumsum(truth) / np.arange(1, truth.size + 1) - truth.mean()).mean()
    chosen = found.judged[found.learner]
    assert 0.6 * best < chosen.autoc.value < 1.2 * best
    assert chosen.qini.low > found.by_risk.qini.high, "who is likely to leave is not who is moved"


@pytest.mark.long
def test_without_an_effect_nothing_is_offered() -> None:
    offered = [learnt(arms(seed, 2_500, helps=0.0, hurts=0.0)[0]).offered for seed in range(30)]
    assert sum(offered) <= 3, "one in forty by chance"


@pytest.mark.long
def test_an_effect_that_is_the_same_for_all_ranks_nobody() -> None:
    offered = [learnt(arms(seed, 2_500, helps=0.1, hurts=0.1)[0]).offered for seed in range(15)]
    assert sum(offered) <= 2


def test_the_same_again_is_the_same() -> None:
    one, two = (learnt(arms(3, 2_500, helps=0.2, hurts=-0.1)[0]) for _ in range(2))
    assert one.judged["s"].autoc == two.judged["s"].autoc
    assert one.groups == two.groups


def test_no_two_folds_learn_from_each_other() -> None:
    made, _ = arms(5, 1_000, helps=0.2, hurts=-0.1)
    folds = np.arange(1_000) % 4
    seen = sequential(s_learner, made.X, made.treated, made.y, folds)
    assert sorted(seen.rows.tolist()) == np.flatnonzero(folds > 0).tolist(), "nobody has judged who is learnt from"
    assert (seen.folds == folds[seen.rows]).all()
    for fold in (1, 2, 3):
        others = np.where(folds >= fold, 1 - made.y, made.y)
        again, same = sequential(s_learner, made.X, made.treated, others, folds), seen.folds <= fold
        assert (again.high[same] == seen.high[same]).all()
        assert (again.low[same] == seen.low[same]).all()
    assert (seen.low != seen.high).any()


def test_tiers_are_named_by_their_intervals() -> None:
    rng = np.random.default_rng(1)
    uplift = np.repeat([0.4, 0.3, 0.2, 0.1, -0.2], 400).astype(float)
    wide = np.r_[
        rng.normal(0.4, 0.1, 400), rng.normal(0.0, 0.1, 800), rng.normal(0.1, 3, 400), rng.normal(-0.3, 0.1, 400)
    ]
    without = np.repeat([0.4, 0.9, 0.1, 0.5, 0.5], 400)
    groups = groups_of(uplift, wide, without, uplift, cost=0.05)
    assert [group.tier for group in groups] == [PERSUADABLE, SURE_THING, LOST_CAUSE, UNSURE, DO_NOT_DISTURB]
    made, _ = arms(1, 2_500, helps=0.2, hurts=-0.1)
    model = fitted(replace(learnt(made), groups=groups), made, TRIAL, DEFINITION)
    places = model.group_of(np.array([0.9, 0.4, 0.3, 0.25, 0.15, -1.0]))
    assert [model.card.groups[at].tier for at in places] == [
        PERSUADABLE, PERSUADABLE, SURE_THING, LOST_CAUSE, UNSURE, DO_NOT_DISTURB,
    ]  # fmt: skip
