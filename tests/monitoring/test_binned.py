"""Bins of matured likelihoods: every prediction of the newest version counts once, where its probability says."""

import numpy as np
import polars as pl
import pytest

from features.time import DAY
from monitoring.binned import binned
from serving.published.bins import BINS, STEPS


def rows_of(answers: list[float], **more: object) -> pl.DataFrame:
    count = len(answers)
    columns = {"version": "churn/2", "population": "left alone", "user": [f"u{i}" for i in range(count)],
               "at": 10 * DAY, "label": 0.0, "weight": 1.0}  # fmt: skip
    return pl.DataFrame({"answer": answers}).with_columns(
        pl.Series(name, value if isinstance(value, list) else [value] * count)
        for name, value in (columns | more).items()
    )


def test_a_probability_at_an_edge_is_in_the_bin_above_it() -> None:
    """A cut-off selects who has at least it; 0.145 * 200 is 28.999… as a float."""
    edges = [i / STEPS for i in range(STEPS)]
    assert binned(rows_of(edges))["bin"].to_list() == list(range(STEPS))
    assert binned(rows_of([1.0, 0.9999999, 0.0]))["bin"].to_list() == [0, STEPS - 1]


def test_weights_events_and_people_are_summed_by_population() -> None:
    rows = rows_of(
        [0.301, 0.302, 0.303, 0.304], population=["held out", "held out", "held out", "handed off"],
        user=["a", "b", "a", "c"], weight=[10.0, 2.0, 10.0, 0.0], label=[1.0, 0.0, 0.0, 1.0],
        at=[DAY, DAY, 8 * DAY, DAY],
    )  # fmt: skip
    found = {row["population"]: row for row in binned(rows).iter_rows(named=True)}
    held, handed = found["held out"], found["handed off"]
    assert (held["users"], held["people"], held["events"]) == (3, 2, 1)
    assert (held["weight"], held["squares"], held["event_weight"], held["event_squares"]) == (22, 204, 10, 100)
    assert held["predicted"] == pytest.approx(0.906)
    assert held["expected"] == pytest.approx(10 * 0.301 + 2 * 0.302 + 10 * 0.303)
    assert (held["first"], held["last"]) == (DAY, 8 * DAY)
    assert (handed["users"], handed["events"], handed["weight"]) == (1, 1, 0)


def test_only_the_newest_version_counts_and_nothing_is_an_empty_table() -> None:
    rows = rows_of([0.5, 0.5], version=["churn/1", "churn/2"], at=[DAY, 2 * DAY])
    assert binned(rows).select("version", "users").rows() == [("churn/2", 1)]
    nothing = binned(rows.clear())
    assert nothing.schema == BINS
    assert not len(nothing)


def test_every_prediction_counts_once() -> None:
    answers = np.random.default_rng(3).random(2_000)
    found = binned(rows_of(answers.tolist()))
    assert found["users"].sum() == 2_000
    counted = np.bincount(np.minimum((answers * STEPS + 1e-9).astype(int), STEPS - 1), minlength=STEPS)
    assert dict(found.select("bin", "users").iter_rows()) == {i: n for i, n in enumerate(counted.tolist()) if n}
