"""Before the first model, and the moment it is promoted."""

import sys
from pathlib import Path

import mlflow
import polars as pl

from features.events.write import part_files
from segments.rfm_cuts import cuts_path, load_cuts
from serving.model.registry.promoted import CHAMPION, registered_name
from serving.scoring.online import Answers
from tests.conftest import World
from tests.serving.conftest import copy_of


def test_the_first_champion_and_the_first_cut_offs_are_taken_up_without_a_restart(world: World, tmp_path: Path) -> None:
    mine = copy_of(world, tmp_path / "world")
    uri = mine.settings.mlflow_uri
    client = mlflow.MlflowClient(uri, uri)
    versions = {}
    for outcome in mine.definition.outcomes:
        name = registered_name(mine.definition, outcome)
        versions[name] = client.get_model_version_by_alias(name, CHAMPION).version
        client.delete_registered_model_alias(name, CHAMPION)
    cuts = cuts_path(mine.definition, mine.settings)
    kept = cuts.read_text()
    cuts.unlink()
    answers = Answers(mine.definition, mine.settings)
    assert answers.models() == []
    assert not answers.refresh()
    assert answers._served.scorer.rfm is None
    cuts.write_text(kept)
    assert answers.refresh()
    assert answers._served.scorer.rfm is not None
    assert answers.models() == []
    name = registered_name(mine.definition, "churn")
    client.set_registered_model_alias(name, CHAMPION, versions[name])
    assert answers.refresh()
    assert [model.outcome for model in answers.models()] == ["churn"]


def test_scores_have_rfm_groups_without_a_training(untrained_world: World, tmp_path: Path) -> None:
    mine = copy_of(untrained_world, tmp_path / "world")
    assert load_cuts(mine.definition, mine.settings) is None
    done = mine.run(sys.executable, "-m", "propensity", "score")
    assert done.returncode == 0, done.stderr
    assert load_cuts(mine.definition, mine.settings) is not None
    [folder] = [f for f in mine.settings.scores(mine.definition.name).iterdir() if f.is_dir()]
    records = pl.read_parquet(part_files(folder))
    assert records["rfm"].struct.field("group").drop_nulls().n_unique() > 3
    assert "loyal" in set(records["state"])
