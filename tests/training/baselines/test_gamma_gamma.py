"""Gamma-Gamma gives the published CDNOW parameters, and what it expects of an order comes true in its own world."""

import numpy as np
import pytest

from training.baselines.bg_nbd import expected, fit_bg_nbd
from training.baselines.gamma_gamma import GammaGamma


def test_the_published_parameters_of_cdnow() -> None:
    data = pytest.importorskip("lifetimes.datasets", reason="the extra bench is not installed")
    sample = data.load_cdnow_summary_data_with_monetary_value()
    sample = sample[sample["frequency"] > 0]
    model = GammaGamma.fit(sample["frequency"].to_numpy(float), sample["monetary_value"].to_numpy(float))
    assert (model.p, model.q, model.v) == pytest.approx((6.25, 3.74, 15.44), rel=5e-3)


def simulated(n: int = 8_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orders so far, their mean value, and the mean an order is truly worth."""
    rng = np.random.default_rng(1)
    nu, x = rng.gamma(4.0, 1 / 20.0, n), rng.integers(1, 12, n).astype(float)
    return x, rng.gamma(5.0 * x, 1 / (nu * x)), 5.0 / nu


def test_what_an_order_is_worth_comes_true_in_its_own_world() -> None:
    x, m, worth = simulated()
    model = GammaGamma.fit(x, m)
    answer = model.expected(x, m)
    assert np.mean((answer - worth) ** 2) < np.mean((m - worth) ** 2)
    for part in np.array_split(np.argsort(answer), 5):
        assert answer[part].mean() == pytest.approx(worth[part].mean(), rel=0.05)


def test_few_orders_say_little_and_many_speak_for_themselves() -> None:
    model = GammaGamma(6.25, 3.74, 15.44)
    everybody = model.p * model.v / (model.q - 1)
    one, many = model.expected(np.array([1.0, 200.0]), np.array([100.0, 100.0]))
    assert everybody < one < many
    assert many == pytest.approx(100, rel=0.01)


def test_weights_are_customers_and_money_has_no_unit() -> None:
    x, m, _ = simulated(1_200)
    twice = np.repeat(np.arange(len(x)), 1 + np.arange(len(x)) % 2)
    weighted = GammaGamma.fit(x, m, 1.0 + np.arange(len(x)) % 2)
    cents = GammaGamma.fit(x[twice], 100 * m[twice])
    assert 100 * weighted.expected(x, m) == pytest.approx(cents.expected(x, 100 * m), rel=1e-2)


def test_bg_nbd_expects_as_many_purchases_as_come() -> None:
    rng = np.random.default_rng(3)
    n, ahead = 12_000, 13.0
    T, rate, drop = rng.uniform(20, 40, n), rng.gamma(0.8, 1 / 5.0, n), rng.beta(1.8, 4.5, n)
    x, t_x, came = np.zeros(n), np.zeros(n), np.zeros(n)
    for i in range(n):
        t = rng.exponential(1 / rate[i])
        while t <= T[i] + ahead:
            x[i], t_x[i], came[i] = (x[i] + 1, t, 0.0) if t <= T[i] else (x[i], t_x[i], came[i] + 1)
            if rng.random() < drop[i]:
                break
            t += rng.exponential(1 / rate[i])
    answer = expected(fit_bg_nbd(x, t_x, T), ahead, x, t_x, T)
    for part in np.array_split(np.argsort(answer), 5):
        assert answer[part].sum() == pytest.approx(came[part].sum(), rel=0.12, abs=25)


def test_where_nobody_drops_out_purchases_go_on_as_they_came() -> None:
    rng = np.random.default_rng(4)
    n = 4_000
    T, rate = rng.uniform(50, 300, n), rng.gamma(0.8, 1 / 60.0, n)
    x = rng.poisson(rate * T).astype(float)
    t_x = np.where(x > 0, T * rng.beta(np.maximum(x, 1), 1), 0.0)
    model = fit_bg_nbd(x, t_x, T)
    answer, going_on = expected(model, 30.0, x, t_x, T), (model.r + x) * 30 / (model.alpha + T)
    assert answer.sum() == pytest.approx(going_on.sum(), rel=0.02)
    assert (answer <= 1.001 * going_on).all()
