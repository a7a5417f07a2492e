"""BG/NBD and Gamma-Gamma know orders that stand: those given back leave them as they are."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.definition import Definition
from features.profile.fold import feature_rows, read_all_at
from features.reading.source import EventLog
from features.time import DAY, to_instant
from tests.features.event_store.logs import NOON, SCHEMA, definition_in, put
from tests.worlds import with_signal
from training.baselines.classification import bg_nbd_of
from training.baselines.value import amount_floors
from training.dataset.dataset import Dataset

END = to_instant(NOON) + 60 * DAY
OUTCOMES = {"spend": {"sum_of": "purchase", "within": "30d", "among": "purchase_count_total > 0"}}


def orders(given_back: bool) -> pl.DataFrame:
    """Orders of customers, some of them bought twice; beside them others that are refunded days later, or none."""
    random, rows = np.random.default_rng(7), list[tuple[object, ...]]()

    def add(user: int, event: str, day: float, worth: float) -> None:
        time = NOON + timedelta(days=day)
        rows.append((f"m{len(rows)}", f"u{user}", event, time, time, worth))

    for user in range(400):
        for day in random.uniform(0, 55, random.geometric(0.4)):
            add(user, "purchase", day, float(np.round(random.gamma(3.0, 10.0), 2)))
        back = random.uniform(0, 55, random.poisson(0.7)).tolist()
        for day in back if given_back else []:
            add(user, "purchase", day, 1_000.0 + day)
            add(user, "refund", day + 2, 1_000.0 + day)
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def dataset(folder: Path, given_back: bool) -> tuple[Dataset, Definition]:
    folder.mkdir()
    put(folder, "a", orders(given_back))
    rule = {"refund": "event = 'refund'"} if given_back else {}
    definition = definition_in(folder, signals=with_signal("purchase", **rule), outcomes=OUTCOMES)
    events = EventLog(definition).read()
    rows = pl.concat(feature_rows(events, read_all_at(events, np.array([END])), definition)).sort("user")
    parts = [rows.with_columns(slice=pl.lit(name), unseen=False, weight=1.0, label=1.0) for name in ("learn", "test")]
    return Dataset("spend", pl.concat(parts), pl.DataFrame()), definition


def test_orders_given_back_change_neither_who_comes_again_nor_what_an_order_is_worth(tmp_path: Path) -> None:
    plain, beside = (dataset(tmp_path / str(back), back) for back in (False, True))
    counts = [data.rows["purchase_count_total"].sum() for data, _ in (plain, beside)]
    assert counts[1] > 1.2 * counts[0], "they are events all the same"
    models = [bg_nbd_of(data.part("learn"), "purchase") for data, _ in (plain, beside)]
    assert models[0] is not None
    assert models[0] == models[1]
    amounts = [amount_floors(data, definition)["bg_nbd_gamma_gamma"] for data, definition in (plain, beside)]
    assert amounts[1] == pytest.approx(amounts[0], rel=1e-4)
