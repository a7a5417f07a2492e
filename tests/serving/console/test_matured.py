"""What came true at a cut-off: as loops over the predictions count it, with Wilson's intervals."""

import numpy as np
import polars as pl
import pytest

from features.time import DAY
from monitoring.binned import binned
from serving.console.matured import POINTS, UNTREATED, came_true, first_bin, reliability, wilson

CUTS = (0.0, 0.1, 0.35, 0.5, 0.985)


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """Matured predictions: half left alone, the others handed off but for a tenth, who stand for ten each."""
    draw, count = np.random.default_rng(5), 4_000
    p = np.round(draw.beta(1.2, 2.2, count), 4)
    population = draw.choice(["left alone", "held out", "handed off"], count, p=[0.5, 0.05, 0.45])
    label = (draw.random(count) < p).astype(float)
    weight = np.select([population == "left alone", population == "held out"], [1.0, 10.0], 0.0)
    return pl.DataFrame(
        {"version": "churn/1", "population": population, "user": [f"u{i}" for i in range(count)], "answer": p,
         "label": label, "weight": weight}
    ).with_columns(at=pl.lit(20 * DAY, pl.Int64))  # fmt: skip


@pytest.mark.parametrize("cut", CUTS)
def test_shares_above_a_cut_off_are_those_of_the_predictions(rows: pl.DataFrame, cut: float) -> None:
    found = {one.population: one for one in came_true(binned(rows), cut)}
    assert list(found) == [UNTREATED, "held out", "left alone", "handed off"]
    for name, one in found.items():
        mine = rows.filter(pl.col("weight") > 0) if name == UNTREATED else rows.filter(population=name)
        weight = mine["weight"].to_numpy() if name == UNTREATED else np.ones(len(mine))
        p, y = mine["answer"].to_numpy(), mine["label"].to_numpy()
        above = p >= cut
        assert (one.predictions, one.of) == (int(above.sum()), len(mine)), name
        if not above.any():
            assert (one.precision, one.recall) == (None, None)
            continue
        assert one.expected == pytest.approx(np.average(p[above], weights=weight[above]))
        assert one.precision is not None
        assert one.precision.value == pytest.approx(np.average(y[above], weights=weight[above]))
        assert one.recall is not None
        assert one.recall.value == pytest.approx((weight * y)[above].sum() / (weight * y).sum())
        assert one.hits is not None
        assert one.hits.value == pytest.approx((weight * y)[above].sum())
        assert one.precision.low <= one.precision.value <= one.precision.high


def test_a_cut_off_inside_a_bin_counts_from_the_next_edge_on() -> None:
    assert [first_bin(cut) for cut in (0.0, 0.145, 0.1451, 0.15, 1.0)] == [0, 29, 30, 30, 200]


def test_a_population_alone_needs_no_line_for_all_untreated(rows: pl.DataFrame) -> None:
    found = came_true(binned(rows.filter(population="left alone")), 0.3)
    assert [one.population for one in found] == ["left alone"]


def test_the_interval_is_wilsons() -> None:
    """Newcombe (1998), table I: 81 of 263, and none of 20."""
    some, none = wilson(81 / 263, 263), wilson(0.0, 20)
    assert (round(some.low, 4), round(some.high, 4)) == (0.2553, 0.3662)
    assert (none.low, round(none.high, 4)) == (0.0, 0.1611)


def test_who_is_in_many_batches_makes_the_interval_no_narrower(rows: pl.DataFrame) -> None:
    """The same users ten times are no more evidence than once."""
    often = pl.concat(rows.with_columns(at=pl.lit(i * DAY, pl.Int64)) for i in range(10))
    once, again = (came_true(binned(one), 0.3)[0].precision for one in (rows, often))
    assert once is not None
    assert again is not None
    assert (again.low, again.high) == pytest.approx((once.low, once.high))


def test_held_out_users_who_stand_for_many_make_it_wider(rows: pl.DataFrame) -> None:
    found = {one.population: one for one in came_true(binned(rows), 0.3)}
    together, alone = found[UNTREATED].precision, found["left alone"].precision
    assert together is not None
    assert alone is not None
    assert together.high - together.low > alone.high - alone.low


def test_reliability_holds_every_untreated_prediction_and_a_true_model_within_its_intervals(rows: pl.DataFrame) -> None:
    points = reliability(binned(rows))
    assert len(points) == POINTS
    assert sum(point.rows for point in points) == (rows["weight"] > 0).sum()
    assert [point.predicted for point in points] == sorted(point.predicted for point in points)
    assert sum(point.low <= point.predicted <= point.high for point in points) >= 8
    wrong = reliability(binned(rows.with_columns(label=1 - pl.col("label"))))
    assert sum(point.low <= point.predicted <= point.high for point in wrong) <= 2


def test_of_treated_users_alone_no_reliability_is_shown(rows: pl.DataFrame) -> None:
    assert reliability(binned(rows.filter(population="handed off"))) == []
