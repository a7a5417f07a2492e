"""Adjusted p-values, held against closed testing by brute force and SciPy."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from monitoring.statistics.effects.multiple import benjamini_hochberg, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def test_a_case_by_hand() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])


@given(P_VALUES)
def test_holm_rejects_what_bonferroni_rejects_in_every_set_it_is_in(p: list[float]) -> None:
    places = range(len(p))
    sets = [some for size in range(1, len(p) + 1) for some in combinations(places, size)]
    closed = [max(min(1.0, len(some) * min(p[i] for i in some)) for some in sets if place in some) for place in places]
    assert holm(p) == pytest.approx(closed)


@given(P_VALUES)
def test_the_false_discovery_rate_is_scipys(p: list[float]) -> None:
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p))


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_no_test_is_not_counted(adjust) -> None:
    found = adjust([0.01, np.nan, 0.04])
    assert found[[0, 2]] == pytest.approx(adjust([0.01, 0.04]))
    assert np.isnan(found[1])
    assert adjust([]).size == 0
    with pytest.raises(ValueError, match=r"hold 1\.2"):
        adjust([0.01, 1.2])


def test_among_outcomes_without_effect_one_family_in_20_has_a_finding() -> None:
    draw = np.random.default_rng(1)
    families = draw.random((8_000, 6))
    assert abs(np.mean([holm(p).min() <= 0.05 for p in families]) - 0.05) < 0.008
    assert np.mean([p.min() <= 0.05 for p in families]) > 0.2, "what uncorrected ones would show"
