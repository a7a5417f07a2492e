"""RFM: every cell one group, equal values equal scores, and nobody moves without doing anything."""

import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.definition.file.load import load_definition
from features.errors import PropensityError, StoreError
from segments.rfm import GRID, GROUPS, RfmCuts, fit_cuts, with_rfm
from tests.conftest import ROOT
from tests.worlds import definition_of

RULE = {"signal": "visit", "window": "30d", "money": "purchase"}
DEFINITION = definition_of(rfm=RULE)
CUTS = RfmCuts(snapshot="test", recency=(2, 4, 8, 16), frequency=(1, 2, 4, 8), money=(0, 10, 20, 40))


def rows(recency: list[float | None], frequency: list[float], money: list[float] | None = None) -> pl.DataFrame:
    money = money or [0.0] * len(recency)
    return pl.DataFrame(
        {"days_since_visit": recency, "visit_active_days_30d": frequency, "purchase_value_30d": money},
        schema_overrides={"days_since_visit": pl.Float64},
    )


def test_there_are_ten_groups_and_every_cell_has_one() -> None:
    assert len(GROUPS) == 10
    assert [len(row) for row in GRID] == [5] * 5


def test_the_grid_is_that_of_the_design() -> None:
    recency, frequency = [20.0, 9.0, 5.0, 3.0, 1.0], [1.0, 2.0, 3.0, 5.0, 9.0]
    cells = list(itertools.product(recency, frequency))
    scored = with_rfm(rows([r for r, _ in cells], [f for _, f in cells]), DEFINITION.rfm, CUTS)
    for (r, f), row in zip(itertools.product(range(1, 6), range(1, 6)), scored.to_dicts(), strict=True):
        assert (row["rfm_r"], row["rfm_f"], row["rfm_m"]) == (r, f, 1)
        assert row["rfm_group"] == GRID[r - 1][f - 1]
        assert row["rfm_score"] == 4 * r + 2 * f + 1
    named = {(row["rfm_r"], row["rfm_f"]): row["rfm_group"] for row in scored.to_dicts()}
    assert named[5, 5] == "Champions"
    assert named[1, 5] == "Cannot Lose Them"
    assert named[3, 3] == "Needs Attention"


def test_users_outside_the_window_have_no_group() -> None:
    scored = with_rfm(rows([None, 40.0], [0.0, 0.0]), DEFINITION.rfm, CUTS)
    assert scored["rfm_group"].to_list() == [None, None]
    assert scored["rfm_score"].to_list() == [None, None]


def test_equal_values_get_equal_scores_whoever_else_is_there() -> None:
    one = with_rfm(rows([3.0], [2.0], [15.0]), DEFINITION.rfm, CUTS).row(0)
    crowd = rows([3.0, *range(50)], [2.0, *[1.0] * 50], [15.0, *range(50)])
    many = with_rfm(crowd, DEFINITION.rfm, CUTS)
    assert many.row(0) == one


def test_cuts_are_quintiles_of_the_active_and_tell_how_many_are_tied() -> None:
    active = rows(list(np.arange(1.0, 101.0)), [1.0] * 60 + list(np.arange(2.0, 42.0)))
    idle = rows([500.0] * 50, [0.0] * 50)
    cuts = fit_cuts(pl.concat([active, idle]), definition_of(rfm=RULE).rfm, "s")
    assert cuts.recency == (21.0, 41.0, 61.0, 81.0)
    assert cuts.frequency[:2] == (1.0, 1.0), "most users did it once: those cut-offs coincide"
    assert cuts.tied_share == pytest.approx(0.6)
    scored = with_rfm(active, DEFINITION.rfm, cuts)
    assert scored.filter(pl.col("visit_active_days_30d") == 1)["rfm_f"].n_unique() == 1


def test_given_cuts_are_taken_as_they_are() -> None:
    rule = definition_of(rfm=RULE | {"recency_cuts": [1, 2, 3, 4]}).rfm
    assert fit_cuts(rows([5.0, 6.0], [1.0, 2.0]), rule, "s").recency == (1, 2, 3, 4)


def test_nobody_in_the_window_is_an_error() -> None:
    with pytest.raises(PropensityError, match="nobody fired 'visit' within 30d of s"):
        fit_cuts(rows([50.0], [0.0]), DEFINITION.rfm, "s")


def test_without_a_rule_there_are_no_groups() -> None:
    definition = definition_of()
    scored = with_rfm(rows([1.0], [1.0]), definition.rfm, None)
    assert scored["rfm_group"].to_list() == [None]
    assert definition.rfm is None


STATES = load_definition(ROOT / "propensity.yaml").states


def test_the_shipped_states_are_those_of_the_design() -> None:
    assert list(STATES) == ["churned", "dormant", "at_risk", "resurrected", "new", "loyal", "active"]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"snapshot": "te', b"\xff\xfe\x00"])
def test_damaged_cut_offs_are_reported_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rfm-1.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"cut-offs of the RFM groups in .*rfm-1\.json are damaged"):
        RfmCuts.load(tmp_path / "rfm-1.json")
