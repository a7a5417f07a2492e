"""What is no probability, label or weight is refused with the value that was found."""

import math

import numpy as np
import pytest

from monitoring.statistics.probabilities import calibration, estimated

P, Y = [0.2, 0.8, 0.5], [0.0, 1.0, 1.0]
WRONG = {
    "above 1": ([0.2, 1.5, 0.5], Y, None, r"probabilities hold 1\.5"),
    "below 0": ([0.2, -0.5, 0.5], Y, None, r"probabilities hold -0\.5"),
    "not a number": ([0.2, math.nan, 0.5], Y, None, "probabilities hold 1 values that are NaN"),
    "a table": ([[0.2, 0.8, 0.5]], Y, None, "have 2 dimensions"),
    "a label too few": (P, Y[:2], None, "2 labels for 3 users"),
    "a label of its own": (P, [0.0, 0.5, 1.0], None, r"labels hold 0\.5"),
    "an unknown label": (P, [0.0, math.nan, 1.0], None, "labels hold 1 values"),
    "a weight too many": (P, Y, [1.0] * 4, "4 weights for 3 users"),
    "a weight below 0": (P, Y, [1.0, -1.0, 1.0], "weights hold -1"),
}


@pytest.mark.parametrize("compare", [calibration.level, calibration.logit_line, calibration.logit_shift])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_refused_with_what_was_found(compare, name: str) -> None:
    p, y, w, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        compare(p, y, w=w)


@pytest.mark.parametrize("estimate", [estimated.auc, estimated.log_loss])
@pytest.mark.parametrize("name", [name for name in WRONG if "label" not in name])
def test_so_it_is_where_there_are_no_labels(estimate, name: str) -> None:
    p, _, w, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        estimate(p, w=w)


@pytest.mark.parametrize("phi", [0.9, 0.0, math.nan, math.inf])
def test_there_is_no_under_dispersion(phi: float) -> None:
    with pytest.raises(ValueError, match="over-dispersion is"):
        calibration.level(P, Y, phi)


def test_whole_numbers_are_numbers() -> None:
    assert calibration.level(np.array([0, 1]), np.array([False, True])).ratio == 1.0
