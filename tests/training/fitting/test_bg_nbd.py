"""Where BG/NBD may be a model: questions of whether a signal comes that people repeat; elsewhere it is left out."""

import numpy as np
import pytest

from features.definition.columns import feature_set
from features.time import DAY
from serving.model.bg_nbd import read_columns
from tests.training.baselines.customers import simulated
from tests.worlds import definition_of
from training.dataset.matrices import Matrices
from training.fitting.bg_nbd import applies, repeating
from training.fitting.fit import FOLDS
from training.fitting.objective import Likelihood

PURCHASE: dict[str, object] = {"will": "purchase", "within": "13d", "among": "days_since_visit < 28"}


def matrices(*, customers: int = 2_000, once: float = 0.0, never: int = 300) -> Matrices:
    """Customers of a world in which BG/NBD is true at two cutoffs, some who bought once, and some who never did.

    Args:
        customers: how many.
        once: the share of customers whose repeat purchases are taken away.
        never: how many users never bought.
    """
    rng, (x, t_x, T, buys) = np.random.default_rng(2), simulated(customers, seed=2)
    x = np.where(rng.random(customers) < once, 0.0, x)
    t_x = np.where(x == 0, 0.0, t_x)
    names = list(feature_set(definition_of()).numeric)
    X = rng.gamma(1.0, 5.0, (customers + never, len(names)))
    empty = np.full(never, np.nan)
    reported = (np.append(x + 1, np.zeros(never)), np.append(T, empty), np.append(T - t_x, empty))
    for name, column in zip(read_columns("purchase", names), reported, strict=True):
        X[:, names.index(name)] = column
    y = np.append(buys, (rng.random(never) < 0.05).astype(float))
    twice = np.tile(np.arange(len(y)), 2)
    cutoffs = np.repeat([1, 2], len(y)) * DAY
    every = {"all": np.arange(2 * len(y))}
    share = (np.arange(len(y)) + 0.5) / len(y)
    return Matrices(names, {}, X[twice], y[twice], np.ones(2 * len(y)), rng.permuted(share)[twice], cutoffs, every)


def outcome(**changes: object):  # type: ignore[no-untyped-def]
    return definition_of(outcomes={"it": PURCHASE | changes}).outcomes["it"]


def test_it_answers_whether_a_repeated_signal_comes_or_stays_away() -> None:
    rows = matrices()
    assert applies(rows, outcome())
    stays_away = definition_of(outcomes={"it": {"will_not": "purchase", "within": "13d", "among": "tenure_days > 0"}})
    assert applies(rows, stays_away.outcomes["it"])


@pytest.mark.parametrize(
    "changes",
    [{"gap": "3d"}, {"monotone": {"days_since_purchase": "decreasing"}}],
    ids=["a gap before the window", "a declared sign of a column it reads"],
)
def test_it_does_not_answer_another_question(changes: dict[str, object]) -> None:
    assert not applies(matrices(), outcome(**changes))


def test_it_does_not_answer_for_amounts() -> None:
    value = definition_of(outcomes={"it": {"sum_of": "purchase", "within": "13d", "among": "tenure_days > 0"}})
    assert not applies(matrices(), value.outcomes["it"])


def test_it_needs_people_who_come_back() -> None:
    assert not applies(matrices(once=0.95), outcome()), "hardly anybody bought twice"
    assert not applies(matrices(customers=90), outcome()), "too few customers"
    assert applies(matrices(customers=110), outcome())


def test_each_row_is_answered_by_a_fit_that_has_not_seen_its_user_and_who_never_bought_by_their_rate() -> None:
    rows, rule = matrices(), outcome()
    folds = rows.folds(FOLDS)
    found = repeating(rows, rule, rows.weights, folds)
    place = rows.names.index("purchase_active_days_total")
    never = rows.X[:, place] < 1
    for fold in range(FOLDS):
        own, others = never & (folds == fold), never & (folds != fold)
        rate = (rows.y[others].sum() + 1) / (others.sum() + 2)
        assert np.allclose(found.held_out[own], np.log(rate / (1 - rate)))
    assert Likelihood().loss(rows.y, found.held_out, rows.weights) < 0.55
    other = Matrices(**{name: getattr(rows, name) for name in Matrices.__dataclass_fields__} | {"y": 1 - rows.y})
    again = repeating(other, rule, rows.weights, folds)
    assert again.part.customers == found.part.customers, "labels have no part in the four parameters"


def test_the_other_answer_is_the_other_way_round() -> None:
    rows = matrices(never=0)
    away = definition_of(outcomes={"it": {"will_not": "purchase", "within": "13d", "among": "tenure_days > 0"}})
    folds = rows.folds(FOLDS)
    comes = repeating(rows, outcome(), rows.weights, folds).held_out
    stays = repeating(rows, away.outcomes["it"], rows.weights, folds).held_out
    assert np.array_equal(comes, -stays)
