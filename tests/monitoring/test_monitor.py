"""The monitor on a trained world: labels, spacing, repeats, late events, erasure, the command."""

import json
import sys
from pathlib import Path

import polars as pl
import pytest

from features.definition.sections.outcome import Outcome
from features.events.write import part_files
from features.open_log import open_log
from features.system.progress import unseen
from features.time import DAY, Clock, to_datetime, to_instant
from monitoring.labels import labels_of
from monitoring.monitor import NAME, Monitored
from monitoring.predictions.batches import Predictions
from serving.activation.hand_offs import LEFT_ALONE
from serving.activation.memberships import Memberships
from serving.database.log.live_log import LiveLog
from serving.model.registry.promoted import registered_name
from serving.upkeep.erase import erase
from tests.conftest import World
from tests.monitoring.scored import WEEKS, looked, scored_weekly
from tests.serving.registries import client


@pytest.fixture(scope="module")
def scored(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The trained world, scored each week for seven weeks."""
    mine = World.copied(world.folder, tmp_path_factory.mktemp("monitored") / "world")
    scored_weekly(mine)
    return mine


@pytest.fixture(scope="module")
def found(scored: World) -> Monitored:
    return looked(scored)


def test_labels_are_those_of_the_log(scored: World, found: Monitored) -> None:
    """The oracle reads the demo's files with nothing of ours."""
    log = pl.read_parquet(part_files(scored.folder / "data" / "demo" / "events"))
    bought = log.filter(pl.col("event") == "purchase").select("user_id", "event_time")
    rows = found.matured["purchase"].rows
    rule = scored.definition.outcomes["purchase"]
    assert isinstance(rule, Outcome)
    assert len(rows) > 1_000
    start = pl.col("at").cast(pl.Datetime("us", "UTC"))
    both = rows.with_columns(start=start).join(bought, left_on="user", right_on="user_id")
    end = pl.col("start") + pl.duration(microseconds=rule.within)
    yes = both.filter((pl.col("event_time") >= pl.col("start")) & (pl.col("event_time") < end))
    both = rows.join(yes.select("user", "at").unique().with_columns(yes=1.0), on=["user", "at"], how="left")
    assert (both["yes"].fill_null(0.0) == both["label"]).all()
    first = log.group_by("user_id").agg(pl.col("event_time").min())
    tenure = rows.with_columns(start=start).join(first, left_on="user", right_on="user_id")
    days = (tenure["start"] - tenure["event_time"]).dt.total_microseconds() / DAY
    assert (tenure["tenure_days"] >= 0).all()
    assert ((tenure["tenure_days"] - days).abs() < 30).mean() > 0.9, "signals begin about where the log does"


def test_predictions_are_the_scores_of_then(scored: World, found: Monitored) -> None:
    scores = scored.settings.scores(scored.definition.name)
    for at in WEEKS[:3]:
        [folder] = [path for path in scores.iterdir() if f"{at:%Y-%m-%d}" in path.name]
        records = pl.read_parquet(part_files(folder))
        records = records.select(
            "user_id", "state", p=pl.col("intent").struct.field("churn").struct.field("probability")
        )
        rows = found.matured["churn"].rows.filter(pl.col("at") == to_instant(at))
        assert len(rows)
        both = rows.join(records, left_on="user", right_on="user_id")
        assert len(both) == len(rows)
        assert (both["answer"] == both["p"]).all()
        assert (both["state"] == both["state_right"]).all()


@pytest.mark.parametrize("outcome", ["churn", "purchase", "uninstall", "spend"])
def test_no_event_answers_two_rows_of_a_user(scored: World, found: Monitored, outcome: str) -> None:
    predictions = Predictions(scored.definition, scored.settings)
    rows = predictions.rows(outcome, predictions.batches(outcome)).sort("user", "at")
    within = scored.definition.outcomes[outcome].within
    gaps = rows.with_columns(gap=pl.col("at").diff().over("user")).drop_nulls("gap")
    assert gaps.is_empty() or gaps["gap"].min() >= within  # type: ignore[operator]
    assert rows["user"].n_unique() > len(rows) / 5
    per_batch = rows.group_by("at").len()["len"]
    assert per_batch.min() > 0, "each batch says something of somebody"


def test_only_what_is_over_is_told(scored: World, found: Monitored) -> None:
    for name, one in found.matured.items():
        reach = scored.definition.outcomes[name].reach
        assert one.rows["at"].max() + reach <= found.through  # type: ignore[operator]
        assert all(at + reach > found.through - 1_000_000 for at in one.waiting)
        assert one.rows["label"].null_count() == 0
        assert set(one.rows["population"]) == {LEFT_ALONE}, "there are no destinations"
        assert (one.rows["weight"] == 1).all()


def test_the_same_again_changes_nothing_and_a_killed_run_is_finished(scored: World, found: Monitored) -> None:
    before = json.loads((found.folder / NAME).read_text())
    assert before["outcomes"]["churn"]["matured"] == len(found.matured["churn"].rows)
    again = looked(scored)
    assert again.drawn == {}
    assert all(one.new == [] for one in again.matured.values())
    assert json.loads((found.folder / NAME).read_text()) == before
    for lost in ("matured/churn", "predictions/purchase"):
        newest = max((found.folder / lost).glob("*.parquet"))
        newest.unlink()
    looked(scored)
    assert json.loads((found.folder / NAME).read_text()) == before


def test_what_is_too_old_is_forgotten_and_not_drawn_again(scored: World, found: Monitored, tmp_path: Path) -> None:
    mine = World.copied(scored.folder, tmp_path / "old")
    predictions = Predictions(mine.definition, mine.settings)
    middle = to_instant(WEEKS[3])
    predictions.forget(middle)
    assert predictions.batches("churn") == [to_instant(at) for at in WEEKS[3:]]
    log = open_log(mine.definition, mine.settings, ends=None, steps=unseen)
    assert predictions.keep(log.live, middle) == {}
    assert predictions.keep(log.live, 0).keys() == {to_instant(at) for at in WEEKS[:3]}


def test_labels_that_come_late_change_nothing_but_are_told(scored: World, found: Monitored, tmp_path: Path) -> None:
    mine = World.copied(scored.folder, tmp_path / "late")
    files = sorted((mine.settings.monitoring(mine.definition.name) / "matured" / "churn").glob("*.parquet"))
    for file in (files[0], files[-1]):  # the first is so old that it is not compared with the log any more
        was = pl.read_parquet(file)
        was.with_columns(label=1 - pl.col("label")).write_parquet(file)
    again = looked(mine)
    assert again.matured["churn"].late == {int(file.stem): len(was)}
    kept = again.matured["churn"].rows.filter(pl.col("at") == int(file.stem))
    assert kept["label"].to_list() == (1 - was["label"]).to_list(), "what was read out stays"


def test_of_a_large_batch_a_share_is_kept(
    scored: World, found: Monitored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.predictions.batches.MOST", 40)
    mine = World.copied(scored.folder, tmp_path / "large")
    predictions = Predictions(mine.definition, mine.settings)
    first = predictions.batches("churn")[0]
    whole = predictions.rows("churn", [first])
    predictions.file("churn", first).unlink()
    predictions.keep(open_log(mine.definition, mine.settings, ends=None, steps=unseen).live, 0)
    some = predictions.rows("churn", [first])
    assert len(some) == 40 < len(whole)
    assert set(some["user"]) < set(whole["user"])


def test_who_is_erased_is_nowhere_in_it(scored: World, found: Monitored, tmp_path: Path) -> None:
    mine = World.copied(scored.folder, tmp_path / "erased")
    user = found.matured["churn"].rows["user"][0]
    live = LiveLog.open(mine.definition, mine.settings)
    done = erase(mine.definition, mine.settings, Memberships(mine.definition, live, Clock()), [user])
    assert not any(done.left.values())
    again = looked(mine)
    assert user not in set(again.matured["churn"].rows["user"])
    assert user in set(found.matured["churn"].rows["user"])


@pytest.mark.long
def test_the_command_shows_and_publishes(scored: World, found: Monitored) -> None:
    command = (sys.executable, "-m", "propensity", "monitor", "--json")
    done = scored.run(*command)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["outcomes"].keys() == scored.definition.outcomes.keys()
    batch = content["outcomes"]["churn"]["batches"][0]
    one = found.realised["churn"].batches.row(0, named=True)
    assert (batch["at"], batch["users"]) == (f"{to_datetime(one['at']):%Y-%m-%d}", one["users"])
    version = client(scored).get_model_version(registered_name(scored.definition, "churn"), "1")
    level = found.realised["churn"].level
    assert level is not None
    for tags in (version.tags, client(scored).get_run(version.run_id).data.tags):
        assert tags["monitoring.ratio"] == f"{level.ratio:.4f}"
        assert tags["monitoring.as_of"] == to_datetime(found.through).isoformat()
        names = [one.name for one in found.findings if one.outcome == "churn"]
        assert tags["monitoring.finding"] == (", ".join(names) or "none")
    late = scored.run(*command, "--as-of", "2026-03-20", "--strict")
    assert late.returncode == 1
    names = {one["outcome"]: one["name"] for one in json.loads(late.stdout)["findings"]}
    assert names["scores"] == "batch_missing"
    assert "no batch of scores since 2026-02-15" in late.stderr, "alarms are logged"
    assert scored.run(*command).returncode == 0
    shown = scored.run(*command[:-1])
    assert "Observed and expected by batch" in shown.stdout
    groups = pl.read_parquet(found.folder / "churn.groups.parquet")
    assert {"tier", "state", "tenure", "population", "country"} <= set(groups["by"])
    by_state = groups.filter(pl.col("by") == "state")
    rows = found.matured["churn"].rows.filter(pl.col("state") == by_state["group"][0])
    assert by_state["observed"][0] == pytest.approx(rows["label"].sum())
    assert by_state["expected"][0] == pytest.approx(rows["answer"].sum())


def test_a_definition_without_scores(untrained_world: World, tmp_path: Path) -> None:
    mine = World.copied(untrained_world.folder, tmp_path / "unscored")
    done = mine.run(sys.executable, "-m", "propensity", "monitor")
    assert done.returncode == 0, done.stderr
    assert "No prediction has matured yet" in done.stdout


def test_users_who_are_gone_have_no_label(scored: World, tmp_path: Path) -> None:
    log = open_log(scored.definition, scored.settings, ends=None, steps=unseen)
    rows = {"churn": pl.DataFrame({"user": ["nobody"], "at": [to_instant(WEEKS[0])]})}
    assert labels_of(log, scored.definition, rows, tmp_path / "labels").is_empty()


def test_the_newest_predictions_are_estimated_by_labels_of_users_like_theirs(
    scored: World, found: Monitored, tmp_path: Path
) -> None:
    """The same shop a few weeks later: users are alike, so that both estimates say about the same."""
    assert found.today.keys() <= set(scored.definition.likelihoods)
    today, one = found.today["churn"], found.realised["churn"]
    assert today.known
    assert today.auc == pytest.approx(one.promised["auc"], abs=0.05)
    assert today.effective < (found.matured["churn"].rows["weight"] > 0).sum()
    assert 0.6 < (today.ratio or 0) < 1.6
    assert one.spiegelhalter is not None
    content = json.loads((found.folder / NAME).read_text())["outcomes"]["churn"]
    assert content["today"]["auc"] == today.auc
    assert content["today"]["tier"]["share"] > 0
    assert content["spiegelhalter"] == one.spiegelhalter
    mine = World.copied(scored.folder, tmp_path / "shown")
    shown = mine.run(sys.executable, "-m", "propensity", "monitor")
    assert "effective labels of users like today's" in shown.stdout.replace("\n", " ")
    assert "Spiegelhalter's Z" in shown.stdout
