"""Baselines of amounts: what is known without learning, on the same rows."""

import numpy as np
import polars as pl

from features.definition.columns import occasions
from features.definition.schema import Definition
from features.definition.sections.outcome import ValueOutcome
from features.snapshot import WEIGHT
from features.time import DAY, span_name
from serving.model.numbers import Floats
from training.baselines.bg_nbd import expected
from training.baselines.classification import bg_nbd_of, newest_buyers, repeats_of
from training.baselines.gamma_gamma import GammaGamma
from training.dataset.dataset import Dataset


def amount_floors(data: Dataset, definition: Definition) -> dict[str, Floats]:
    """Fit the baselines on the ``learn`` slice and predict the ``test`` slice.

    Args:
        data: the data set.
        definition: which signal is summed.

    Returns:
        Amounts of ``historic_value`` (a user goes on as they did so far), ``last_window`` (as they did in the window
        nearest to the horizon) and, for signals that people repeat, ``bg_nbd_gamma_gamma``.
    """
    fit, test, rule = data.part("learn"), data.part("test"), definition.amounts[data.outcome]
    found = {
        "historic_value": _historic(test, rule),
        "last_window": _last_window(test, definition, rule),
    }
    bought = _bg_nbd_gamma_gamma(fit, test, rule)
    return found if bought is None else {**found, "bg_nbd_gamma_gamma": bought}


def _historic(test: pl.DataFrame, rule: ValueOutcome) -> Floats:
    """Value a day so far, times the horizon; of who is known for less than the horizon, the value so far."""
    days = rule.within / DAY
    age = test[f"days_since_first_{rule.signal}"].fill_null(days).fill_nan(days).to_numpy()
    total = test[f"{rule.signal}_value_total"].fill_null(0.0).to_numpy()
    return np.asarray(np.maximum(total * days / np.maximum(age, days), 0.0))


def _last_window(test: pl.DataFrame, definition: Definition, rule: ValueOutcome) -> Floats:
    days = [w for w in definition.windows if w >= DAY]
    window = min(days, key=lambda w: abs(w - rule.within))
    value = test[f"{rule.signal}_value_{span_name(window)}"].fill_null(0.0).to_numpy()
    return np.asarray(np.maximum(value * (rule.within / window), 0.0))


def _bg_nbd_gamma_gamma(fit: pl.DataFrame, test: pl.DataFrame, rule: ValueOutcome) -> Floats | None:
    """Purchases to expect times what one is worth; people who never bought get the mean of their like."""
    times, total = occasions(rule.signal, fit.columns).days, f"{rule.signal}_value_total"
    model = bg_nbd_of(fit, rule.signal)
    paying = newest_buyers(fit, rule.signal).filter((pl.col(times) >= 2) & (pl.col(total) > 0))
    if model is None or len(paying) < 100:
        return None
    orders = GammaGamma.fit(*_orders(paying, rule.signal), paying[WEIGHT].to_numpy())
    never = fit.filter(pl.col(times) < 1)
    answer = np.full(len(test), float(np.average(never["label"], weights=never[WEIGHT])) if len(never) else 0.0)
    known = (test[times] >= 1).to_numpy()
    buyers = test.filter(pl.Series(known))
    worth = np.maximum(orders.expected(*_orders(buyers, rule.signal)), 0.0)
    answer[known] = expected(model, rule.within / DAY, *repeats_of(buyers, rule.signal)) * worth
    return answer


def _orders(rows: pl.DataFrame, signal: str) -> tuple[Floats, Floats]:
    """What Gamma-Gamma asks of customers: days with an order, and the mean value of one."""
    times = rows[occasions(signal, rows.columns).days].to_numpy()
    return times, rows[f"{signal}_value_total"].to_numpy() / times
