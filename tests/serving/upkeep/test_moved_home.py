"""A home can be moved: its registry names files relative to itself, and reads what older versions wrote."""

import shutil
import sys
from pathlib import Path

import mlflow
import polars as pl
import pytest

from features.definition import load_definition
from features.settings import Settings
from serving.model.registry.loader import Loader
from serving.scoring.online import Answers
from tests.conftest import World
from tests.serving.conftest import copy_of
from tests.serving.registries import as_older_versions_wrote_it, client, files_of
from training.registry import Registry

PROPENSITY = (sys.executable, "-m", "propensity")


def moved(world: World, folder: Path) -> World:
    """A world at another place; where it was, nothing is left."""
    shutil.move(world.folder, folder)
    return World(folder, load_definition(folder / "propensity.yaml"), Settings(home=folder / "var"))


def test_the_registry_names_no_absolute_place(world: World) -> None:
    assert str(world.settings.home).encode() not in (world.settings.home / "mlflow.db").read_bytes()
    assert files_of(world, "churn").is_dir()


@pytest.mark.parametrize("older", [False, True])
def test_a_home_is_read_and_written_at_its_new_place(world: World, tmp_path: Path, older: bool) -> None:
    there = copy_of(world, tmp_path / "there")
    if older:
        as_older_versions_wrote_it(there, there.settings.home)
        assert str(there.settings.home).encode() in (there.settings.home / "mlflow.db").read_bytes()
    here = moved(there, tmp_path / "a new place")
    assert set(Loader(here.definition, here.settings).champions()) == set(here.definition.outcomes)
    registry = Registry(here.definition, here.settings)
    with registry.run("churn", 0):
        run = mlflow.active_run()
        assert run is not None
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/definition.yaml")
    assert (here.settings.home / "mlartifacts" / run.info.run_id / "artifacts" / "definition.yaml").exists()
    assert not there.folder.exists(), "nothing is written where the home was"


def test_a_notebook_reads_models_through_mlflow_alone(world: World) -> None:
    """MLflow finds the files by our entry point; the program imports nothing of ours."""
    code = (
        "import mlflow, sys\n"
        f"mlflow.set_tracking_uri({world.settings.mlflow_uri!r})\n"
        f"mlflow.pyfunc.load_model('models:/{world.definition.name}-churn@champion')\n"
        "run = mlflow.search_runs(search_all_experiments=True).iloc[0]\n"
        "print(mlflow.artifacts.list_artifacts(run_id=run.run_id, artifact_path='plots')[0].path)\n"
    )
    done = world.run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("plots/")


def test_files_beside_the_copy_are_read_even_while_the_original_is_there(world: World, tmp_path: Path) -> None:
    there = copy_of(world, tmp_path / "there")
    here = copy_of(there, tmp_path / "here")
    as_older_versions_wrote_it(here, there.settings.home)
    shutil.rmtree(here.settings.home / "mlartifacts")
    with pytest.raises(Exception, match="cannot be loaded"):
        Loader(here.definition, here.settings).champions()


def test_a_moved_home_scores_and_answers(world: World, tmp_path: Path) -> None:
    here = moved(copy_of(world, tmp_path / "there"), tmp_path / "here")
    done = here.run(*PROPENSITY, "score")
    assert done.returncode == 0, done.stderr
    [path] = here.settings.scores("demo-shop").glob("*.parquet")
    assert set(pl.read_parquet(path)["intent"].struct.field("churn").struct.field("model")) == {"churn/1"}
    assert len(Answers(here.definition, here.settings).models()) == len(here.definition.outcomes)
    assert not (tmp_path / "there").exists()


def test_the_pages_of_mlflow_find_the_files_of_an_older_home(world: World, tmp_path: Path) -> None:
    """What `propensity ui` does before it starts MLflow's server: afterwards every place is relative."""
    here = copy_of(world, tmp_path / "here")
    as_older_versions_wrote_it(here, Path("/some/other/var"))
    Registry(here.definition, here.settings)
    assert {e.artifact_location for e in client(here).search_experiments() if e.name != "Default"} == {
        "mlflow-artifacts:/"
    }
    for name in here.definition.outcomes:
        assert files_of(here, name).is_dir()
