"""Calibration: Platt gives back the truth, isotonic only where there is enough to learn it from."""

import numpy as np
import pytest

from serving.model.numbers import sigmoid
from training.fitting.calibrate import ISOTONIC_ROWS, calibrate, isotonic, platt


def drawn(rows: int, bend: bool, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 1.5, rows)
    p = np.where(logits > 0, 0.9, 0.1) if bend else sigmoid(0.6 * logits + 0.4)
    return (rng.random(rows) < p).astype(float), logits, p


def test_platt_finds_slope_and_offset() -> None:
    labels, logits, _ = drawn(60_000, bend=False)
    found = platt(labels, logits, np.ones(len(labels)))
    assert (found.slope, found.offset) == pytest.approx((0.6, 0.4), abs=0.04)
    assert found.method == "platt"


def test_weights_are_rows() -> None:
    labels, logits, _ = drawn(3_000, bend=False)
    twice = np.where(logits > 0, 2.0, 1.0)
    again = np.repeat(np.arange(len(labels)), twice.astype(int))
    weighted, repeated = platt(labels, logits, twice), platt(labels[again], logits[again], np.ones(len(again)))
    assert (weighted.slope, weighted.offset) == pytest.approx((repeated.slope, repeated.offset), abs=2e-3)


def test_isotonic_is_taken_where_there_are_many_rows_and_it_is_better() -> None:
    cutoffs = np.arange(ISOTONIC_ROWS + 4_000) % 4
    labels, logits, p = drawn(len(cutoffs), bend=True)
    found = calibrate(labels, logits, np.ones(len(labels)), cutoffs)
    assert found.method == "isotonic"
    assert (
        np.abs(found.apply(logits) - p).mean()
        < 0.02
        < np.abs(platt(labels, logits, np.ones(len(labels))).apply(logits) - p).mean()
    )


@pytest.mark.parametrize(("rows", "cutoffs", "bend"), [(10_000, 4, True), (24_000, 1, True), (24_000, 4, False)])
def test_otherwise_platt_stays(rows: int, cutoffs: int, bend: bool) -> None:
    labels, logits, _ = drawn(rows, bend)
    assert calibrate(labels, logits, np.ones(rows), np.arange(rows) % cutoffs).method == "platt"


def test_isotonic_never_falls_never_says_never_and_keeps_its_order() -> None:
    labels, logits, _ = drawn(5_000, bend=False)
    found = isotonic(labels, logits, np.ones(5_000), platt(labels, logits, np.ones(5_000)))
    answer = found.apply(np.linspace(-20, 20, 2_000))
    assert (np.diff(answer) >= 0).all()
    assert 0 < answer.min() < answer.max() < 1
    inner = found.apply(np.linspace(found.logits[0], found.logits[-1], 500))
    assert (np.diff(inner) > 0).all(), "between the blocks' centres nobody ties"
