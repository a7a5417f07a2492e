"""The benchmarks run, and both sides of a comparison say the same. What they measure is for `make bench` to tell."""

import json
from pathlib import Path

import pytest

from benchmarks import features, quality
from benchmarks.world import World as Measured
from tests.conftest import ROOT, World


@pytest.fixture(scope="module")
def measured(world: World) -> Measured:
    return Measured(world.folder, world.definition, world.settings, 1.0)


def test_fold_and_duckdb_yield_the_same_columns(measured: Measured) -> None:
    [row] = features.cost(measured, snapshots=3).to_dicts()
    assert row["rows"] > 3_000
    assert row["columns_compared"] == 80
    assert row["largest_difference"] < 1e-9


def test_the_distance_from_the_best_forecast_is_measured_for_every_outcome(measured: Measured) -> None:
    rows = quality.distance_from_best(measured)
    assert rows["outcome"].to_list() == ["churn", "purchase", "uninstall"]
    assert rows["ratio"].is_between(0.9, 1.02).all()


def test_the_published_results_are_complete() -> None:
    numbers = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    assert {"features.vs_duckdb_sql", "live.score_p50_over_noop", "model.worst_auc_ratio_to_best"} <= set(numbers)
    assert "## Answers over HTTP" in Path(ROOT / "benchmarks" / "results.md").read_text()
