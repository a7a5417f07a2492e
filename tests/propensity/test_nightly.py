"""The nightly job on a trained world: its steps, a failure in the middle, and training again by a written policy."""

import json
import sys
from pathlib import Path

import pytest

from features.system.files.lock import locked
from serving.model.registry.loader import Loader
from serving.scoring.earlier.batch import Earlier
from tests.conftest import World
from tests.monitoring.scored import looked, relabel, scored_weekly

pytestmark = pytest.mark.long

#: the steps of each night
EACH = ("materialize", "score", "monitor", "kpis")

NIGHTLY = (sys.executable, "-m", "propensity", "nightly", "--json")


@pytest.fixture
def mine(world: World, tmp_path: Path) -> World:
    return World.copied(world.folder, tmp_path / "world")


def steps(world: World, *options: str) -> list[str]:
    done = world.run(*NIGHTLY, *options)
    assert done.returncode == 0, done.stderr
    return [one["step"] for one in json.loads(done.stdout)["steps"]]


def test_a_night_that_fails_is_continued_where_it_failed(mine: World) -> None:
    scores = mine.settings.scores(mine.definition.name)
    with locked(scores):
        done = mine.run(*NIGHTLY)
    assert done.returncode == 2
    assert "score ended with 2" in done.stderr
    assert done.stdout == ""
    content = json.loads((mine.settings.folder(mine.definition.name) / "nightly" / "steps.json").read_text())
    assert [one["step"] for one in content] == ["materialize"]
    again = mine.run(*NIGHTLY)
    assert again.returncode == 0, again.stderr
    shown = json.loads(again.stdout)
    assert [one["step"] for one in shown["steps"]] == [*EACH, "prune"]
    assert shown["steps"][0] == content[0], "what had ended was not done again"
    assert shown["retrained"] == ""
    assert Earlier.newest(scores) is not None
    assert (mine.settings.monitoring(mine.definition.name) / "monitor.json").exists()
    assert not (mine.settings.folder(mine.definition.name) / "nightly" / "steps.json").exists()
    assert steps(mine) == [*EACH, "prune"], "the next night does everything"


@pytest.mark.nightly
def test_models_are_trained_again_when_they_are_old_enough(mine: World) -> None:
    assert steps(mine, "--retrain-after", "3650d", "--retrain-on-alarm") == [
        "materialize",
        "score",
        "monitor",
        "kpis",
        "prune",
    ]
    done = mine.run(*NIGHTLY, "--retrain-after", "7d")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [one["step"] for one in shown["steps"]] == [*EACH, "train", "prune"]
    assert "was fitted" in shown["retrained"]
    assert shown["steps"][-2]["code"] in (0, 3)


def test_two_nights_at_once_are_one(mine: World) -> None:
    with locked(mine.settings.folder(mine.definition.name) / "nightly"):
        done = mine.run(*NIGHTLY)
    assert done.returncode == 2
    assert "another job is writing" in done.stderr
    assert Earlier.newest(mine.settings.scores(mine.definition.name)) is None


def test_a_duration_that_is_none_is_refused_before_anything_is_done(mine: World) -> None:
    done = mine.run(*NIGHTLY, "--retrain-after", "soon")
    assert done.returncode == 2
    assert "--retrain-after" in done.stderr
    assert Earlier.newest(mine.settings.scores(mine.definition.name)) is None


@pytest.mark.nightly
def test_a_level_that_moved_is_recalibrated_once(mine: World) -> None:
    scored_weekly(mine)
    looked(mine)
    relabel(mine, "churn", offset=0.8)
    done = mine.run(*NIGHTLY, "--recalibrate-on-alarm", "--retrain-on-alarm")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    [alarm] = [one for one in shown["findings"] if one["alarm"]]
    assert (alarm["name"], alarm["outcome"]) == ("level_moved", "churn")
    assert "propensity recalibrate churn" in alarm["action"]
    assert [one["step"] for one in shown["steps"]] == [
        "materialize",
        "score",
        "monitor",
        "kpis",
        "recalibrate churn",
        "prune",
    ]
    assert (shown["recalibrated"], shown["retrained"]) == (["churn"], "")
    champion = Loader(mine.definition, mine.settings).champions()["churn"]
    assert champion.card.recalibrated is not None
    assert champion.card.recalibrated.parent == alarm["version"]
    again = mine.run(*NIGHTLY, "--recalibrate-on-alarm", "--retrain-on-alarm")
    assert again.returncode == 0, again.stderr
    assert [one["step"] for one in json.loads(again.stdout)["steps"]] == [
        "materialize",
        "score",
        "monitor",
        "kpis",
        "prune",
    ], "the alarm is about a version that was replaced"


@pytest.mark.nightly
def test_a_ranking_that_got_worse_is_trained_again(mine: World) -> None:
    scored_weekly(mine)
    looked(mine)
    relabel(mine, "churn", slope=0.2)
    assert "train" not in steps(mine, "--recalibrate-on-alarm")
    assert steps(mine, "--recalibrate-on-alarm", "--retrain-on-alarm")[-2] == "train"
