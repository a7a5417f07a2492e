"""Recalibration of a trained champion by labels that are known: what the gate lets through, and what serves then."""

import json
import sys
from pathlib import Path

import mlflow
import numpy as np
import polars as pl
import pytest

from features.feature_store import OnlineProfiles
from features.open_log import open_log
from features.system.progress import unseen
from features.time import DAY, to_instant
from monitoring.matured import kept
from monitoring.realised import realised
from monitoring.recalibration.job import recalibrate
from monitoring.recalibration.refused import Refusals
from monitoring.statistics.probabilities.calibration import level
from segments.tiers import tier_codes
from serving.model.model import Model
from serving.model.registry.loader import Loader
from serving.model.registry.promoted import registered_name
from serving.scoring.feature_rows import online_rows
from tests.conftest import World
from tests.monitoring.scored import WEEKS, looked, relabel, scored_weekly
from tests.training.outcomes import quiet
from training.evaluation.consistency import parity
from training.job import Result

END = 2**62


@pytest.fixture(scope="module")
def watched(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Trained, scored each week, and monitored."""
    mine = World.copied(world.folder, tmp_path_factory.mktemp("watched") / "world")
    scored_weekly(mine)
    looked(mine)
    return mine


@pytest.fixture(scope="module")
def moved(watched: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Result]:
    """The same where churn happens more often than was predicted, recalibrated."""
    mine = World.copied(watched.folder, tmp_path_factory.mktemp("moved") / "world")
    relabel(mine, "churn", offset=0.8)
    return mine, recalibrate(mine.definition, mine.settings, "churn", steps=quiet)


@pytest.fixture
def mine(watched: World, tmp_path: Path) -> World:
    return World.copied(watched.folder, tmp_path / "world")


def champion(world: World, outcome: str = "churn") -> Model:
    return Loader(world.definition, world.settings).champions()[outcome]


def matured(world: World, outcome: str = "churn") -> pl.DataFrame:
    return kept(world.definition, world.settings, outcome, 0, END)


def test_a_level_that_moved_is_corrected(watched: World, moved: tuple[World, Result]) -> None:
    world, result = moved
    assert result.refusal is None, result.refusal
    assert result.promoted, [c for c in result.criteria if not c.passed]
    rows, before, after = matured(world), champion(watched), champion(world)
    assert result.version == after.version != before.version
    was = level(rows["answer"], rows["label"])
    assert was.low > 1.1
    by = after.numbers.calibration.moved
    assert by is not None
    now = level(by.apply(rows["answer"].to_numpy()), rows["label"])
    assert now.low <= 1 <= now.high
    assert by.offset == pytest.approx(0.8, abs=0.15)
    # labels that nobody has fitted on come true as often as it says
    relabel(world, "churn", offset=0.8, seed=77)
    fresh = matured(world)
    again = level(by.apply(fresh["answer"].to_numpy()), fresh["label"])
    assert again.low <= 1 <= again.high
    relabel(world, "churn", offset=0.8)


def test_users_stay_in_their_order_their_tiers_and_their_percentiles(
    watched: World, moved: tuple[World, Result]
) -> None:
    before, after = champion(watched), champion(moved[0])
    assert before.card.tiers.policy == "lift"
    _, rows = parity(open_log(watched.definition, watched.settings, ends=None, steps=unseen), watched.definition,
                     watched.settings, watched.folder / "probe")  # fmt: skip
    matrix = before.matrix(rows)
    was, now = before.predict(matrix), after.predict(matrix)
    order = np.argsort(was, kind="stable")
    assert (np.diff(now[order]) >= 0).all()
    assert (now > was).all()
    assert (tier_codes(was, before.card.tiers) == tier_codes(now, after.card.tiers)).all()
    assert set(tier_codes(was, before.card.tiers).tolist()) == {0, 1, 2}
    assert (before.percentile(was) == after.percentile(now)).all()
    assert after.card.base_rate > before.card.base_rate
    by = after.numbers.calibration.moved
    assert by is not None
    effects = before.effects(matrix[:50])
    assert np.allclose(after.effects(matrix[:50]), effects * by.slope), "reasons are on the logit that moved"
    assert after.card.metrics["auc"] == before.card.metrics["auc"]
    assert after.card.metrics["log_loss"] != before.card.metrics["log_loss"]


def test_the_service_answers_by_it_alone_as_together(moved: tuple[World, Result]) -> None:
    world, _ = moved
    log = open_log(world.definition, world.settings, ends=None, steps=unseen)
    served, rows = parity(log, world.definition, world.settings, world.folder / "probe")
    model = champion(world)
    together = model.predict(model.matrix(rows))
    online = OnlineProfiles(world.definition, world.settings, apply=True)
    assert len(together) > 500
    assert (model.predict(model.matrix_of(served)) == together).all()
    for i, user in enumerate(rows["user"].head(50)):
        one = online_rows(online, world.definition, [user], log.ends).rows
        assert model.predict(model.matrix_of(one)).tolist() == [together[i]]


def test_the_registry_knows_where_it_came_from(watched: World, moved: tuple[World, Result]) -> None:
    world, result = moved
    client = mlflow.MlflowClient(world.settings.mlflow_uri, world.settings.mlflow_uri)
    assert result.version is not None
    found = client.get_model_version(registered_name(world.definition, "churn"), result.version.partition("/")[2])
    assert found.tags["recalibrated.parent"] == champion(watched).version
    assert found.tags["recalibrated.users"] == str(len(matured(world)))
    assert found.tags["recalibrated.events"] == str(int(matured(world)["label"].sum()))
    by = champion(world).numbers.calibration.moved
    assert by is not None
    assert float(found.tags["recalibrated.offset"]) == pytest.approx(by.offset, rel=1e-5)
    assert float(found.tags["recalibrated.slope"]) == pytest.approx(by.slope, rel=1e-5)
    assert "Promoted in the place of" in found.tags["recalibrated.verdict"]
    run = client.get_run(result.run)
    assert run.data.params["recalibrated.as_of"] == found.tags["recalibrated.as_of"]
    assert run.data.metrics["observed_over_expected.before"] > 1.1
    note = champion(world).card.recalibrated
    assert note is not None
    assert note.words == found.tags["recalibrated.verdict"]
    assert f"Recalibrated from {note.parent}" in champion(world).card.learnt


def test_it_waits_for_labels_of_its_own(moved: tuple[World, Result]) -> None:
    world, _ = moved
    again = recalibrate(world.definition, world.settings, "churn", steps=quiet)
    assert again.version is None
    assert again.refusal is not None
    assert again.refusal.code == "too_few_matured"
    assert "0 effective untreated users" in again.refusal.found


def test_the_same_labels_give_the_same_model(moved: tuple[World, Result], mine: World) -> None:
    relabel(mine, "churn", offset=0.8)
    again = recalibrate(mine.definition, mine.settings, "churn", steps=quiet)
    assert again.card == moved[1].card
    assert champion(mine).numbers == champion(moved[0]).numbers
    assert [c.found for c in again.criteria] == [c.found for c in moved[1].criteria]


def test_where_nothing_moved_the_champion_stays(watched: World, mine: World) -> None:
    kept_champions = 0
    for seed in range(6):
        relabel(mine, "purchase", seed=seed)
        before = champion(mine, "purchase").version
        result = recalibrate(mine.definition, mine.settings, "purchase", steps=quiet)
        assert result.version is not None, result.refusal
        kept_champions += not result.promoted
        if result.promoted:
            break
        assert champion(mine, "purchase").version == before
        assert result.card is not None
        assert result.card.recalibrated is not None
        assert result.card.recalibrated.words.startswith(f"Not promoted, {before} stays")
    assert kept_champions == 6
    ends = open_log(mine.definition, mine.settings, ends=None, steps=unseen).ends
    waits = Refusals(mine.definition, mine.settings).waits("purchase", champion(mine, "purchase").version, ends + DAY)
    assert "was not promoted" in waits, "a night does not make it again"


def test_amounts_get_another_scale(mine: World) -> None:
    relabel(mine, "spend", offset=0.7)
    before = champion(mine, "spend")
    result = recalibrate(mine.definition, mine.settings, "spend", steps=quiet)
    assert result.promoted, (result.refusal, [c for c in result.criteria if not c.passed])
    after = champion(mine, "spend")
    by = after.numbers.calibration.moved
    assert by is not None
    assert by.scale == pytest.approx(np.exp(0.7), rel=0.1)
    assert after.card.tiers.most == before.card.tiers.most * by.scale
    rows = matured(mine, "spend")
    assert by.apply(rows["answer"].to_numpy()).sum() == pytest.approx(rows["label"].sum())


def test_too_few_labels_are_refused_with_how_many(mine: World) -> None:
    first = to_instant(WEEKS[0]) + mine.definition.outcomes["churn"].reach + 2_000_000
    relabel(mine, "churn", offset=0.8)
    files = sorted((mine.settings.monitoring(mine.definition.name) / "matured" / "churn").glob("*.parquet"))
    whole = pl.read_parquet(files[0])
    whole.head(150).write_parquet(files[0])
    result = recalibrate(mine.definition, mine.settings, "churn", steps=quiet, as_of=first)
    assert result.version is None
    assert result.refusal is not None
    assert result.refusal.found.startswith("150 effective untreated users")
    assert "200 effective users" in result.refusal.needed
    assert "propensity monitor" in result.refusal.fix


def test_treated_users_have_no_part_in_it(mine: World) -> None:
    """Acting halves what happens; those held out stand for the treated, and nothing has moved."""
    rng = np.random.default_rng(4)
    relabel(mine, "churn")
    for file in (mine.settings.monitoring(mine.definition.name) / "matured" / "churn").glob("*.parquet"):
        rows = pl.read_parquet(file)
        treated = pl.Series((rng.random(len(rows)) < 0.5) & (rows["answer"] > 0.3).to_numpy())
        rows.with_columns(
            label=pl.when(treated).then(0.0).otherwise("label"),
            weight=pl.when(treated).then(0.0).when(pl.col("answer") > 0.3).then(2.0).otherwise(1.0),
            population=pl.when(treated).then(pl.lit("handed off")).otherwise(pl.lit("held out")),
        ).write_parquet(file)
    result = recalibrate(mine.definition, mine.settings, "churn", steps=quiet)
    assert result.card is not None, result.refusal
    by = result.card.recalibrated
    assert by is not None
    rows = matured(mine)
    assert by.users == int((rows["weight"] > 0).sum()) < len(rows)
    assert by.effective < by.users
    assert abs(by.offset) < 0.2
    assert not result.promoted


def test_a_new_version_begins_a_new_sequence(moved: tuple[World, Result]) -> None:
    """Its first matured batch is looked at alone: the alarm was about the version that it replaced."""
    world, _ = moved
    was, rule, model = matured(world), world.definition.outcomes["churn"], champion(world)
    assert "level" in realised(was, rule, was.head(0)).alarms
    by = model.numbers.calibration.moved
    assert by is not None
    answers = pl.Series(by.apply(was["answer"].to_numpy()))
    now = was.with_columns(pl.col("at") + 60 * DAY, answer=answers, version=pl.lit(model.version))
    found = realised(pl.concat([was, now]), rule, was.head(0))
    assert found.alarms == {}
    assert found.level is not None
    assert found.level.users == len(now)


def test_the_command_ends_as_train_does(mine: World) -> None:
    command = (sys.executable, "-m", "propensity", "recalibrate")
    relabel(mine, "churn", offset=0.8)
    done = mine.run(*command, "churn", "--json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["promoted"]
    assert content["recalibrated"]["offset"] == pytest.approx(0.8, abs=0.15)
    refused = mine.run(*command, "churn")
    assert refused.returncode == 4
    assert "too_few_matured" in refused.stdout
    assert " ".join(refused.stdout.split()).count("train again:") == 1, "the remedy is written once"
    assert mine.run(*command, "nothing").returncode == 2
    relabel(mine, "purchase")
    stays = mine.run(*command, "purchase", "--json")
    assert stays.returncode == 3
    assert json.loads(stays.stdout)["promoted"] is False
