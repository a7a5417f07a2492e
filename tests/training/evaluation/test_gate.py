"""The gate: each criterion is passed and failed by what it is about, and only what passes is promoted."""

import json
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import numpy as np
import polars as pl
import pytest

from features.definition.sections.learning import Gate
from features.errors import PropensityError
from features.settings import Settings
from features.time import DAY
from serving.model.card import ModelCard, Procedure
from serving.model.registry.loader import Loader
from serving.model.registry.promoted import registered_name
from tests.conftest import World
from tests.training.outcomes import CHURN, quiet
from training.evaluation.gate import Criterion, PolicyChoice, compare, passes, policy_of, slices
from training.evaluation.judgement import Judgement, judge
from training.job import train
from training.registry import Registry

N = 6_000
RULES = Gate()


def drawn(seed: int = 1) -> tuple[np.ndarray, np.ndarray, pl.Series]:
    rng = np.random.default_rng(seed)
    logit = rng.normal(-2, 1.5, N)
    return logit, (rng.random(N) < 1 / (1 + np.exp(-logit))).astype(float), pl.Series([f"u{i}" for i in range(N)])


def noisy(logit: np.ndarray, by: float, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(int(by * 100) + 7)
    return np.asarray(1 / (1 + np.exp(-(logit + rng.normal(0, by, N) + shift))))


def judged(**scores: np.ndarray) -> Judgement:
    _, labels, users = drawn()
    return judge(scores, labels, users, np.ones(N), seed=1, draws=300)


def failed(criteria: list[Criterion]) -> set[str]:
    return {c.name for c in criteria if c.passed is False}


def test_without_a_champion_only_the_absolute_criteria_decide() -> None:
    logit, _, _ = drawn()
    criteria = compare(judged(model=noisy(logit, 0.0), recency=noisy(logit, 1.5)), RULES)
    assert passes(criteria)
    assert {c.name for c in criteria if c.passed is None} == {
        "policy", "average precision", "recall in the top 10 %", "log loss"
    }  # fmt: skip
    assert all(c.needed and c.found for c in criteria)


def test_a_better_challenger_passes_and_a_worse_one_does_not() -> None:
    logit, _, _ = drawn()
    good, bad = noisy(logit, 0.0), noisy(logit, 1.2)
    assert passes(compare(judged(model=good, champion=bad), RULES))
    assert failed(compare(judged(model=bad, champion=good), RULES)) >= {
        "average precision", "recall in the top 10 %", "log loss"
    }  # fmt: skip


def test_the_same_model_again_is_not_promoted() -> None:
    logit, _, _ = drawn()
    p = noisy(logit, 0.0)
    assert failed(compare(judged(model=p, champion=p), RULES)) == {"average precision"}


def test_a_model_that_does_not_come_true_fails() -> None:
    logit, _, _ = drawn()
    assert failed(compare(judged(model=noisy(logit, 0.0, shift=0.6)), RULES)) == {
        "calibration error", "observed over expected"
    }  # fmt: skip


def test_a_floor_that_is_not_beaten_is_named() -> None:
    logit, _, _ = drawn()
    found = compare(judged(model=noisy(logit, 1.0), rfm=noisy(logit, 0.0), bg_nbd=noisy(logit, 3.0)), RULES)
    assert {"beats rfm"} <= failed(found)
    assert "beats BG/NBD" not in failed(found)


def test_a_floor_that_chance_puts_ahead_fails_nothing() -> None:
    logit, _, _ = drawn()
    rng = np.random.default_rng(5)
    alike = 1 / (1 + np.exp(-(logit + rng.normal(0, 0.02, N))))
    found = compare(judged(model=alike, rfm=noisy(logit, 0.0)), RULES)
    assert "beats rfm" not in failed(found)


@pytest.mark.parametrize("users", [500, 1_113, 2_000])
def test_a_perfect_forecast_of_few_users_passes_and_one_that_is_off_does_not(users: int) -> None:
    refused = {"perfect": 0, "off": 0}
    for seed in range(100):
        rng = np.random.default_rng(seed)
        true = rng.beta(0.55, 0.73, users)
        labels = (rng.random(users) < true).astype(float)
        for name, answer in (("perfect", true), ("off", np.clip(true / 1.3, 0, 1))):
            found = judge({"model": answer}, labels, pl.Series(range(users)), np.ones(users), seed=1, draws=2)
            wrong = failed(compare(found, RULES)) & {"calibration error", "observed over expected"}
            refused[name] += bool(wrong)
    assert refused["perfect"] <= 1
    assert refused["off"] >= (95 if users >= 2_000 else 50)


def test_rows_of_one_user_are_not_so_many_users() -> None:
    refused = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        true = rng.beta(0.55, 0.73, 300)
        labels, answer = (np.repeat(v, 8) for v in ((rng.random(300) < true).astype(float), true))
        users = pl.Series(np.repeat(np.arange(300), 8))
        found = judge({"model": answer}, labels, users, np.ones(2_400), seed=1, draws=2)
        refused += bool(failed(compare(found, RULES)) & {"calibration error", "observed over expected"})
    assert refused <= 1


def card(world: World, through: str, **changes: object) -> ModelCard:
    model = Loader(world.definition, world.settings).champions()["churn"]
    return model.card.model_copy(update={"trained_through": through, **changes})


def test_the_policy_depends_on_procedure_and_age(world: World) -> None:
    now, horizon, same = datetime(2026, 3, 1, tzinfo=UTC), 14 * DAY, Procedure()
    other = Procedure(half_life=2.0)
    assert policy_of(None, same, now, horizon, 2.0).policy == "first"
    assert (
        policy_of(card(world, "2026-02-20 00:00:00+00:00", procedure=None), same, now, horizon, 2.0).policy == "first"
    )
    recent = card(world, "2026-02-20 00:00:00+00:00", procedure=same)
    assert policy_of(recent, same, now, horizon, 2.0).policy == "refresh"
    assert policy_of(recent, other, now, horizon, 2.0).policy == "challenger"
    old = card(world, "2026-01-01 00:00:00+00:00", procedure=same)
    assert policy_of(old, other, now, horizon, 2.0).policy == "stale"
    assert not policy_of(recent, same, datetime(2026, 2, 20, tzinfo=UTC), horizon, 2.0).newer
    lost = card(world, "2026-02-20 00:00:00+00:00", procedure=Procedure(kind="bg_nbd"))
    found = policy_of(lost, same, now, horizon, 2.0, ("recency", "rfm", "blend"))
    assert (found.policy, "BG/NBD" in found.found) == ("first", True), "it cannot be fitted again to compare"


def test_the_same_procedure_is_promoted_for_newer_rows_only() -> None:
    logit, _, _ = drawn()
    p = noisy(logit, 0.0)
    both = judged(model=p, champion=p)
    assert passes(compare(both, RULES, PolicyChoice("refresh", "later", newer=True)))
    assert failed(compare(both, RULES, PolicyChoice("refresh", "the same day", newer=False))) == {"policy"}


def test_a_stale_champion_is_replaced_by_one_that_is_no_worse() -> None:
    logit, _, _ = drawn()
    p = noisy(logit, 0.0)
    both = judged(model=p, champion=p)
    assert passes(compare(both, RULES, PolicyChoice("stale", "long ago")))
    worse = judged(model=noisy(logit, 1.2), champion=p)
    assert "average precision" in failed(compare(worse, RULES, PolicyChoice("stale", "long ago")))


def test_a_slice_that_loses_is_named_though_the_whole_gains() -> None:
    logit, labels, users = drawn()
    loses = np.arange(N) % 4 == 0
    model = np.where(loses, noisy(logit, 2.0), noisy(logit, 0.0))
    test = pl.DataFrame({"user": users, "label": labels, "weight": np.ones(N)})
    state = pl.Series(np.where(loses, "new", "active"))
    scores = {"model": model, "champion": noisy(logit, 0.7)}
    found = slices(scores, test, {"state": state}, RULES, seed=1)
    assert found.passed is False
    assert "state new" in found.found
    assert "active" not in found.found
    assert slices({"model": model}, test, {"state": state}, RULES, seed=1).passed is None
    rare = pl.Series(np.where(loses & (np.arange(N) < 400), "rare", None))
    assert "0 slices hold" in slices(scores, test, {"state": rare}, RULES, seed=1).found, "few rows decide nothing"


@pytest.mark.long
def test_promotion_force_and_rollback(world: World, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    definition = world.redefined(outcomes={"churn": CHURN}, leads={}, segments={}, gate={"draws": 100})
    [first] = train(definition, settings, steps=quiet)
    assert first.promoted, [c for c in first.criteria if c.passed is False]
    [again] = train(definition, settings, steps=quiet, trials=2)
    assert (again.version, again.promoted) == ("churn/2", False)
    assert Loader(definition, settings).versions() == {"churn": "1"}
    [forced] = train(definition, settings, steps=quiet, force="the board wants it")
    assert forced.promoted
    client = mlflow.MlflowClient(settings.mlflow_uri, settings.mlflow_uri)
    name = registered_name(definition, "churn")
    assert client.get_model_version(name, "3").tags["forced"] == "the board wants it"
    # what was tried is there: the tuned run has its trials as children, and the gate's verdicts
    run = client.get_model_version(name, "2").run_id
    experiment = client.get_run(run).info.experiment_id
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run}'")
    assert sorted(child.info.run_name for child in children) == ["trial 0", "trial 1"]
    assert all(0 < child.data.metrics["loss"] < 1 for child in children)
    mlflow.set_tracking_uri(settings.mlflow_uri)
    verdicts = json.loads(mlflow.artifacts.load_text(f"runs:/{run}/gate.json"))
    assert {v["criterion"]: v["passed"] for v in verdicts}["training-serving parity"] is True
    assert client.get_run(run).data.metrics["gate.average_precision"] == 0.0
    # and back
    registry = Registry(definition, settings)
    assert registry.champions("churn") == ["1", "3"]
    assert registry.rollback("churn", "worse in the field") == ("3", "1")
    assert Loader(definition, settings).versions() == {"churn": "1"}
    assert client.get_model_version(name, "3").tags["rolled_back"] == "worse in the field"
    with pytest.raises(PropensityError, match="churn has had 1 champions: there is none to go back to"):
        registry.rollback("churn", "")
    # a champion of a form that is read no more does not keep a new one from being trained
    for file in tmp_path.glob("mlartifacts/**/numbers.json"):
        file.write_text("{}")
    with registry.run("churn", 0):
        assert registry.champion("churn") is None
        reported = mlflow.active_run()
        assert reported is not None
        run = reported.info.run_id
    assert "cannot be loaded" in client.get_run(run).data.tags["champion.unreadable"]
