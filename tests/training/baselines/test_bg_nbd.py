"""BG/NBD gives the published CDNOW parameters, and its probabilities are those of its own world."""

import numpy as np
import pytest

from serving.model.bg_nbd import BgNbd
from tests.training.baselines.customers import simulated
from training.baselines.bg_nbd import fit_bg_nbd, log_likelihood


def test_the_published_parameters_of_cdnow() -> None:
    data = pytest.importorskip("lifetimes.datasets", reason="the extra bench is not installed")
    sample = data.load_cdnow_summary(index_col=[0])
    reported = [sample[column].to_numpy(dtype=float) for column in ("frequency", "recency", "T")]
    model = fit_bg_nbd(*reported)
    assert (model.r, model.alpha, model.a, model.b) == pytest.approx((0.243, 4.414, 0.793, 2.426), abs=2e-3)
    assert log_likelihood(model, *reported) == pytest.approx(-9582.43, abs=0.01)


def test_probabilities_come_true_in_its_own_world() -> None:
    x, t_x, T, buys = simulated(12_000)
    model = fit_bg_nbd(x, t_x, T)
    answer = model.buys(13.0, x, t_x, T)
    for part in np.array_split(np.argsort(answer), 6):
        spread = np.sqrt((answer[part] * (1 - answer[part])).sum())
        assert abs(buys[part].sum() - answer[part].sum()) < 4 * spread + 0.02 * len(part)


def test_who_never_repeated_is_alive_and_long_silence_after_many_is_not() -> None:
    model = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
    alive = model.alive(np.array([0.0, 10.0, 10.0]), np.array([0.0, 5.0, 38.0]), np.array([38.0, 38.0, 38.0]))
    assert alive[0] == 1.0
    assert alive[1] < 0.01 < 0.9 < alive[2]


def test_weights_are_customers() -> None:
    x, t_x, T, _ = simulated(1_500)
    again = np.repeat(np.arange(len(x)), 1 + np.arange(len(x)) % 2)
    weighted = fit_bg_nbd(x, t_x, T, 1.0 + np.arange(len(x)) % 2)
    repeated = fit_bg_nbd(x[again], t_x[again], T[again])
    assert (weighted.r, weighted.alpha) == pytest.approx((repeated.r, repeated.alpha), rel=1e-2)
