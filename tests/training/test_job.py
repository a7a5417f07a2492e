"""The training job: what it leaves in MLflow, that it repeats itself, and what it refuses."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest

from features.definition.file.load import load_definition
from features.errors import StoreError
from features.event_store.store import EventStore
from features.events.compacted import NONE
from features.feature_store import OfflineFeatures
from features.feature_store.objects import snapshots_path, traits_path
from features.reading.source import EventLog
from features.settings import Settings
from features.snapshot import write_snapshots
from features.system.files.lock import locked
from features.traits import write_traits
from segments.rfm import RfmCuts
from segments.rfm_cuts import load_cuts
from serving.model.registry.loader import Loader
from serving.model.registry.promoted import CHAMPION, registered_name
from tests.conftest import World
from tests.training.outcomes import CHURN, REFUSALS, quiet
from training.dataset.attach_labels import Labels
from training.dataset.dataset import build
from training.dataset.matrices import Matrices
from training.dataset.outcomes import snapshot_cutoffs
from training.job import train
from training.learn import learn
from training.report.model_report import CAPTIONS


def client(world: World) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(world.settings.mlflow_uri, world.settings.mlflow_uri)


@pytest.mark.parametrize("outcome", ["churn", "purchase", "uninstall"])
def test_a_run_holds_everything_about_its_model(world: World, outcome: str) -> None:
    mlflow.set_tracking_uri(world.settings.mlflow_uri)
    registry = client(world)
    version = registry.get_model_version_by_alias(registered_name(world.definition, outcome), CHAMPION)
    run = registry.get_run(version.run_id)
    assert registry.get_experiment(run.info.experiment_id).name == f"demo-shop/{outcome}"
    for metric in ("average_precision", "auc", "auc.low", "auc.high", "lift_at_10", "recall_at_20", "log_loss", "brier",
                   "calibration_error", "observed_over_expected", "unseen_auc", "baseline.recency.auc",
                   "baseline.rfm.auc", "baseline.state.auc", "baseline.rfm.average_precision_behind"):  # fmt: skip
        assert np.isfinite(run.data.metrics[metric]), metric
    assert run.data.params["learning_rate"] == "0.08"
    [dataset] = run.inputs.dataset_inputs
    assert dataset.dataset.name == outcome
    assert "learn.rows" in dataset.dataset.source
    assert run.data.tags["definition"] == world.definition.version
    files = {f.path for folder in (None, "plots", "tables") for f in registry.list_artifacts(run.info.run_id, folder)}
    assert {"definition.yaml", "card.json", "dataset.json"} <= files
    assert {f"plots/{p}.png" for p in CAPTIONS} <= files
    assert {f"tables/{t}.csv" for t in ("slices", "snapshots", "base_rates", "reliability")} <= files
    assert {"report.html", "gate.json", "audit.json"} <= files


def test_the_reliability_of_a_run_is_that_of_its_test_rows(world: World) -> None:
    """Ten bins that hold every row of the test, whose gaps are the calibration error that the card promises."""
    version = client(world).get_model_version_by_alias(registered_name(world.definition, "churn"), CHAMPION)
    mlflow.set_tracking_uri(world.settings.mlflow_uri)
    bins = pl.read_csv(mlflow.artifacts.load_text(f"runs:/{version.run_id}/tables/reliability.csv").encode())
    card = Loader(world.definition, world.settings).champions()["churn"].card
    assert bins["rows"].sum() == card.slices["test"]["rows"]
    gap = ((bins["predicted"] - bins["observed"]).abs() * bins["share"]).sum()
    assert gap == pytest.approx(card.metrics["calibration_error"].value, rel=1e-6)
    assert (bins["low"] <= bins["observed"]).all()
    assert bins["predicted"].is_sorted()


def test_a_version_says_which_features_it_needs(world: World) -> None:
    model = Loader(world.definition, world.settings).champions()["churn"]
    version = client(world).get_model_version_by_alias(registered_name(world.definition, "churn"), CHAMPION)
    assert version.tags["feature_digest"] == model.card.feature_digest
    assert version.tags["feast.feature_service"] == f"churn_{model.card.feature_digest}"
    assert version.tags["trained_through"] == model.card.trained_through


def test_models_rank_better_than_chance_on_users_never_seen(world: World) -> None:
    champions = Loader(world.definition, world.settings).champions()
    for model in (champions[outcome] for outcome in world.definition.likelihoods):
        assert model.card.metrics["auc"].low is not None
        assert model.card.metrics["auc"].low > 0.5
        assert model.card.metrics["unseen_auc"].value > 0.5
        assert 0.7 < model.card.metrics["observed_over_expected"].value < 1.4


def test_a_model_of_value_orders_users_and_meets_the_total(world: World) -> None:
    model = Loader(world.definition, world.settings).champions()["spend"]
    card, baselines = model.card, model.card.baselines
    assert {"historic_value", "last_window", "rfm"} <= set(baselines)
    assert card.metrics["normalised_gini"].value > baselines["historic_value"]["normalised_gini"].value
    assert card.metrics["normalised_gini"].low is not None
    assert card.metrics["normalised_gini"].low > 0.3
    assert card.metrics["unseen_normalised_gini"].value > 0.3
    assert card.metrics["value_at_1"].value < card.metrics["value_at_10"].value < card.metrics["value_at_20"].value
    assert 0.6 < card.metrics["observed_over_expected"].value < 1.5
    assert 0 < card.tiers.least < card.base_rate < card.tiers.most
    assert card.question == "value of purchase within 30d"
    assert card.words.startswith("The top 10 % bring ")


def test_the_report_of_a_model_of_value_speaks_of_amounts(world: World) -> None:
    mlflow.set_tracking_uri(world.settings.mlflow_uri)
    run = client(world).get_model_version_by_alias(registered_name(world.definition, "spend"), CHAMPION).run_id
    page = str(mlflow.artifacts.load_text(f"runs:/{run}/report.html"))
    for answer in (
        "normalised Gini",
        "beats historic value",
        "value in the top 10 %",
        "the log of the amount",
        "last window",
    ):
        assert answer in page, answer
    for answer in ("log-odds", "Profit:", 'id="profit"', "average precision"):
        assert answer not in page, answer


def test_mlflow_loads_the_model_without_us(world: World) -> None:
    mlflow.set_tracking_uri(world.settings.mlflow_uri)
    mlflow.set_registry_uri(world.settings.mlflow_uri)
    native = Loader(world.definition, world.settings).champions()["purchase"]
    loaded = mlflow.pyfunc.load_model(f"models:/{registered_name(world.definition, 'purchase')}@{CHAMPION}")
    inputs = pd.DataFrame({name: [1.0, 3.0] for name in native.card.features})
    inputs = inputs.assign(**{name: ["free", "android"] for name in native.card.categories})
    matrix = np.hstack([inputs[native.card.features].to_numpy(), np.full((2, len(native.card.categories)), np.nan)])
    for i, values in enumerate(native.card.categories.values()):
        for row, value in enumerate(["free", "android"]):
            if value in values:
                matrix[row, len(native.card.features) + i] = values.index(value)
    assert np.allclose(loaded.predict(inputs), native.predict(matrix))


def test_slices_are_in_time_and_hold_no_unseen_user_but_in_the_test(world: World) -> None:
    for model in Loader(world.definition, world.settings).champions().values():
        slices = model.card.slices
        assert model.card.judged_by == "time"
        assert str(slices["learn"]["last_cutoff"]) < str(slices["test"]["first_cutoff"])


def test_what_serves_is_fitted_on_everything_that_is_known(world: World) -> None:
    for model in Loader(world.definition, world.settings).champions().values():
        slices = model.card.slices
        assert model.card.trained_through == slices["all"]["last_cutoff"] == slices["test"]["last_cutoff"]
        assert model.card.trained_from == slices["all"]["first_cutoff"]
        assert int(slices["all"]["rows"]) > int(slices["learn"]["rows"]) + int(slices["test"]["rows"]), (
            "purged rows, too"
        )
        assert int(slices["all"]["users"]) > int(slices["learn"]["users"]), "users never seen by what is judged"
        assert model.card.procedure is not None


@pytest.mark.long
def test_the_same_seed_fits_the_same_model(untrained_world: World, tmp_path: Path) -> None:
    definition, settings = untrained_world.definition, Settings(home=tmp_path)
    folder = settings.folder(definition.name)
    store = EventStore.open(EventLog(definition), settings)
    write_snapshots(
        store, snapshot_cutoffs(definition, store), definition, snapshots_path(folder), more=Labels(definition)
    )
    write_traits(definition, traits_path(folder), NONE)
    offline = OfflineFeatures(definition, settings)
    data = [build(snapshots_path(folder), offline, definition, "churn") for _ in "ab"]
    first, second = (learn(d, Matrices.of(d, definition), definition, None).model for d in data)
    assert first.booster is not None
    assert second.booster is not None
    assert first.booster.text == second.booster.text
    assert first.numbers == second.numbers
    assert first.card == second.card


@pytest.mark.long
def test_outcomes_learnt_side_by_side_are_those_learnt_one_by_one(untrained_world: World, tmp_path: Path) -> None:
    definition, names = untrained_world.definition, ["churn", "uninstall"]
    together, alone = (Settings(home=tmp_path / part) for part in ("together", "alone"))
    results = train(definition, together, steps=quiet, outcomes=names, force="to be tested")
    assert [result.version for result in results] == ["churn/1", "uninstall/1"]
    for name in names:
        train(definition, alone, steps=quiet, outcomes=[name], force="to be tested")
    one, other = (Loader(definition, settings).champions() for settings in (together, alone))
    for name in names:
        assert one[name].numbers == other[name].numbers
        assert one[name].card == other[name].card, "digests of its files, too"


@pytest.mark.long
def test_a_refused_outcome_says_why_and_the_others_are_trained(untrained_world: World, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    odd = {f"odd_{code}": outcome for code, (outcome, _) in REFUSALS.items()}
    definition = untrained_world.redefined(outcomes={**odd, "churn": CHURN}, leads={}, states={}, segments={})
    results = {r.outcome: r for r in train(definition, settings, steps=quiet)}
    for code, (_, answer) in REFUSALS.items():
        result = results[f"odd_{code}"]
        assert result.version is None
        assert result.refusal is not None
        assert result.refusal.code == code
        assert answer in result.refusal.found
        assert result.refusal.needed
        assert result.refusal.fix
    assert results["churn"].version == "churn/1"
    assert set(Loader(definition, settings).champions()) == {"churn"}


@pytest.mark.long
def test_a_log_too_short_for_two_periods_is_judged_on_other_users(untrained_world: World, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    definition = untrained_world.redefined(outcomes={"churn": CHURN | {"within": "150d"}}, leads={}, segments={})
    [result] = train(definition, settings, steps=quiet, force="to be looked at")
    assert result.card is not None, result.refusal
    assert result.card.judged_by == "users"
    learn, test = (result.card.slices[name] for name in ("learn", "test"))
    assert (learn["first_cutoff"], learn["last_cutoff"]) == (test["first_cutoff"], test["last_cutoff"])
    assert int(learn["users"]) + int(test["users"]) == int(result.card.slices["all"]["users"])
    assert "on other users at the same cutoffs" in result.card.learnt
    assert "other users at the same cutoffs" in Path(result.report).read_text()


def test_two_jobs_do_not_write_into_one_folder(untrained_world: World, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with locked(settings.folder("demo-shop")), pytest.raises(StoreError, match="another job is writing"):
        train(untrained_world.definition, settings, steps=quiet)


@pytest.mark.long
def test_rfm_cut_offs_stay_when_training_again(untrained_world: World, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    definition = untrained_world.redefined(outcomes={"churn": CHURN}, leads={}, segments={})
    train(definition, settings, steps=quiet)
    first = load_cuts(definition, settings)
    assert isinstance(first, RfmCuts)
    earlier = EventLog(definition).ends - 40 * 86_400_000_000
    results = train(definition, settings, steps=quiet, ends=earlier)
    assert results[0].version == "churn/2"
    assert load_cuts(definition, settings) == first


def test_every_refusal_is_in_the_catalogue(untrained_world: World) -> None:
    catalogue = (Path(__file__).parents[2] / "docs" / "reference" / "errors.md").read_text()
    for code in REFUSALS:
        assert f"`{code}`" in catalogue
    assert load_definition(untrained_world.folder / "propensity.yaml").version == untrained_world.definition.version
