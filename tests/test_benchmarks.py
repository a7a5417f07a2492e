"""The benchmarks run, and all sides of a comparison say the same. What they measure is for `make bench` to tell."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks import batch, features, quality, scale, stores
from benchmarks.duckdb_expert import by_duckdb_expert
from benchmarks.page import BESIDE, HTTP, TITLES, replace
from benchmarks.peers import Rows, peers
from benchmarks.polars_expert import by_polars_expert
from benchmarks.world import Log
from benchmarks.world import World as Measured
from features.time import Instants
from tests.conftest import ROOT, World
from tests.training.datasets import dataset
from tests.worlds import definition_of
from training.dataset.matrices import Matrices
from training.evaluation.metrics import Ranking, metrics
from training.learn import learn


@pytest.fixture(scope="module")
def log(world: World) -> Log:
    return Log(world.folder, world.definition, 270_000)


@pytest.mark.parametrize(
    "theirs", [features.by_duckdb, features.by_polars, features.by_pandas, by_polars_expert, by_duckdb_expert]
)
def test_all_ways_yield_the_same_columns(log: Log, theirs: Callable[[Log, Instants], pl.DataFrame]) -> None:
    row = features.compare(log, theirs.__name__, theirs, features.weekly(log, 3))
    assert row["rows"] > 3_000  # type: ignore[operator]
    assert row["columns"] == 80
    assert row["largest_difference"] < 1e-9  # type: ignore[operator]


def test_growth_is_measured(log: Log) -> None:
    found = scale.measure(Log(log.folder, scale.with_signals(log.definition, 8), log.events), (2,))
    assert found["signals"] == 8
    assert found["rows_2"] > 1_000
    # an event a signal and snapshot takes no less than a nanosecond, and no more than a millisecond
    assert 1e3 < found["kernel_events_per_s_core"] < 1e9
    day = scale.one_more_day(log)
    assert 0 < day["profiles_changed"] < 1_500


@pytest.mark.long
def test_stores_are_measured(log: Log) -> None:
    rows, numbers = stores.cost(log)
    assert rows["users"][0] == 3_000
    assert numbers["online.read_vs_named_feast_1000"] > 1


@pytest.mark.long
def test_the_distance_from_the_best_forecast_is_measured_for_every_outcome(world: World) -> None:
    measured = Measured(world.folder, world.definition, world.settings, train_seconds=1.0, train_gib=1.0)
    rows = quality.distance_from_best(measured, "shop")
    assert rows["outcome"].to_list() == ["churn", "purchase", "uninstall"]
    assert rows["AUC_over_best"].is_between(0.9, 1.02).all()


@pytest.mark.long
def test_a_batch_is_measured_with_and_without_reasons(world: World, log: Log) -> None:
    measured = Measured(world.folder, world.definition, world.settings, train_seconds=1.0, train_gib=1.0)
    rows, numbers = batch.cost(measured, log)
    assert rows["batch"].to_list() == ["without reasons", "three reasons each"]
    assert rows["users"].to_list() == [3_000, 3_000]
    assert numbers["batch.reasons_over_none_processor"] > 0.9


def test_peers_learn_from_the_same_rows_and_rank_what_they_are_asked() -> None:
    definition = definition_of()
    data = dataset(definition)
    asked = data.part("test")
    found = peers(Rows(definition, "churn", data.part("learn"), asked, definition.likelihoods["churn"].reach))
    assert {"recency", "logistic on RFM", "boosting on RFM", "wide LightGBM", "wide logistic"} <= set(found)
    labels, ones = asked["label"].to_numpy().astype(np.float64), np.ones(len(asked))
    for name, answer in found.items():
        assert answer.shape == labels.shape, name
        assert ((answer > 0) & (answer < 1)).all(), name
    for name in ("wide LightGBM", "wide logistic", "blend of both"):
        assert metrics(Ranking.of(found[name]), labels, ones)["auc"] > 0.65, name


def test_real_logs_tell_of_what_was_judged_not_of_what_serves() -> None:
    definition = definition_of(gate={"draws": 100}, states={"all": "otherwise"})
    data = dataset(definition)
    learnt = learn(data, Matrices.of(data, definition), definition, None)
    row = quality.beside(definition, data, learnt)
    for metric, name in (("average_precision", "AP"), ("auc", "AUC")):
        assert str(row[name]).startswith(f"{learnt.model.card.metrics[metric].value:.3f} (")
    served = learnt.model.predict(learnt.model.matrix(data.part("test")))
    assert not np.allclose(served, learnt.answers), "it has learnt from the test, too"


def test_the_published_results_are_complete() -> None:
    numbers = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    assert set(numbers) >= {
        "features.vs_duckdb_sql", "features.snapshots_52_over_26", "features.one_more_day_share",
        "features.kernel_events_per_s_core", "features.memory_100m_gib", "materialize.sqlite_users_per_s",
        "materialize.redis_users_per_s", "online.read_vs_named_feast_1000", "spark.parity_max_rel_diff",
        "live.score_p50_over_noop", "segments.cost_100_over_read", "handoff.lost", "handoff.messages_per_s",
        "reasons.one_user_ms", "reasons.batch_vs_pred_contrib",
        *(f"models.cdnow.{m}" for m in ("auc", "ap", "lift10", "log_loss")),
        *(f"models.{log}.spend_gini" for log in ("cdnow", "complete_journey", "online_retail")),
        *(f"models.{w}.{o}.{m}" for w in ("demo", "habit", "bursts") for o in ("churn", "purchase", "uninstall")
          for m in ("auc_over_bayes", "log_loss_over_bayes", "calibration_error")),
    }  # fmt: skip
    titles = re.findall(r"^## (.*)$", (ROOT / "benchmarks" / "results.md").read_text(), re.MULTILINE)
    assert HTTP in titles
    assert len(set(titles)) == len(titles)
    assert set(titles) <= set(TITLES), "a table that is measured no more"


def test_a_part_that_is_measured_again_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "results.md").write_text(f"# Results\n\nOf old.\n\n## {HTTP}\n\nold\n\n## A former title\n\nold\n")
    (tmp_path / "results.json").write_text('{"a": 1.0, "b": 2.0}')
    replace(tmp_path, {BESIDE: pl.DataFrame({"n": [1]}), HTTP: pl.DataFrame({"n": [2]})}, {"b": 3.0}, 100)
    page = (tmp_path / "results.md").read_text()
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == [BESIDE, HTTP]
    assert "old\n" not in page
    assert json.loads((tmp_path / "results.json").read_text()) == {"a": 1.0, "b": 3.0}
