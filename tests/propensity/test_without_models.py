"""An empty registry says that there is no champion, not that nobody is likely."""

import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import polars as pl
import pytest

from features.errors import PropensityError, UnavailableError
from features.time import Clock
from serving.activation.memberships import Memberships
from serving.database.log.live_log import LiveLog
from serving.model.registry.loader import Loader
from serving.model.registry.promoted import CHAMPION, registered_name
from tests.conftest import World
from tests.propensity.programs import Program
from tests.serving.conftest import copy_of, unscored_copy_of
from tests.serving.registries import client
from training.registry import Registry

pytestmark = pytest.mark.xdist_group("without-models")


@pytest.fixture(scope="module")
def scored(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world that was scored once, with all its models."""
    copied = unscored_copy_of(world, tmp_path_factory.mktemp("scored") / "w")
    done = copied.run(sys.executable, "-m", "propensity", "score", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["models"] == {name: f"{name}/1" for name in copied.definition.outcomes}
    assert (answer["users"], answer["moved"], answer["note"]) == (3_000, 0, None)
    caught = batch_of(copied)["intent"].struct.field("churn").struct.field("why").drop_nulls()
    assert answer["silent"]["churn"] == dict(caught.value_counts().iter_rows())
    assert answer["silent"]["churn"]["outside_population"] > 0
    return copied


@pytest.fixture
def emptied(scored: World, tmp_path: Path) -> World:
    """The same, with its registry gone."""
    copied = copy_of(scored, tmp_path / "w")
    (copied.settings.home / "mlflow.db").unlink()
    return copied


def batch_of(world: World) -> pl.DataFrame:
    [path] = world.settings.scores("demo-shop").glob("*.parquet")
    return pl.read_parquet(path).sort("user_id")


def test_before_the_first_training_states_are_scored_and_what_is_missing_is_said(
    untrained_world: World, tmp_path: Path, program: Program
) -> None:
    world = copy_of(untrained_world, tmp_path / "w")
    done = program(world, "score")
    assert done.code == 0, done.err
    assert f"There is no model registry at {world.settings.home.resolve() / 'mlflow.db'}" in done.err
    assert "Run propensity train first" in done.err
    assert not (world.settings.home / "mlflow.db").exists(), "reading makes no registry"
    assert set(batch_of(world)["intent"].struct.field("churn").struct.field("why")) == {"no_model"}
    users = f"{len(batch_of(world)):,}"
    assert f"churn: no answer for {users} of {users} users: {users} without a model." in " ".join(done.out.split())
    memberships = Memberships(world.definition, LiveLog.open(world.definition, world.settings), Clock(None))
    assert not any("tiers." in caught for caught in memberships.summaries()["summary"]), "nobody is in a tier"


@pytest.mark.parametrize("command", ["score", "report"])
def test_a_lost_registry_is_refused_and_the_batch_stays(emptied: World, program: Program, command: str) -> None:
    before = batch_of(emptied)
    done = program(emptied, command)
    assert done.code == 2
    assert "models_lost the newest scores were made with churn/1, purchase/1, uninstall/1, spend/1" in done.err
    assert "There is no model registry at" in done.err
    assert "PROPENSITY_TRACKING_URI" in done.err
    assert "--without-models" in done.err
    assert batch_of(emptied).equals(before)
    assert not (emptied.settings.home / "mlflow.db").exists()


def test_a_lost_alias_is_refused_by_name(scored: World, tmp_path: Path, program: Program) -> None:
    world = copy_of(scored, tmp_path / "w")
    client(world).delete_registered_model_alias(registered_name(world.definition, "churn"), CHAMPION)
    done = program(world, "score")
    assert done.code == 2
    assert "the newest scores were made with churn/1, and there is no such champion now." in done.err


def test_with_the_option_it_goes_on_and_nobody_is_moved_to_not_enough_to_say(emptied: World, program: Program) -> None:
    done = program(emptied, "score", "--without-models", "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert set(answer["models"].values()) == {None}
    assert answer["moved"] == 0
    assert "no_model" in answer["note"]
    memberships = Memberships(emptied.definition, LiveLog.open(emptied.definition, emptied.settings), Clock(None))
    assert memberships.flows(0).is_empty()
    last = memberships.last()
    assert last is not None
    assert last.models["churn"].partition("@")[0] == "churn/1", "the model that users were last judged by"


def test_a_wrong_address_of_the_registry_is_reported(scored: World, program: Program, tmp_path: Path) -> None:
    nowhere = tmp_path / "typo" / "mlflow.db"
    done = program(scored, "score", PROPENSITY_TRACKING_URI=f"sqlite:///{nowhere}")
    assert done.code == 2
    assert f"There is no model registry at {nowhere}" in done.err
    assert not nowhere.parent.exists()
    away = "http://user:secret@127.0.0.1:9"
    done = program(scored, "score", PROPENSITY_TRACKING_URI=away, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert done.code == 2
    assert "registry the model registry at http://127.0.0.1:9 fails" in done.err
    assert "secret" not in done.err


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database, but it is long enough to be one\n" * 200)


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [garbage, zeros, half])
def test_a_damaged_registry_is_reported_in_words(
    scored: World, tmp_path: Path, program: Program, damage: Callable[[Path], None]
) -> None:
    world = copy_of(scored, tmp_path / "w")
    damage(world.settings.home / "mlflow.db")
    with pytest.raises(UnavailableError, match=r"the model registry at .* fails") as caught:
        Loader(world.definition, world.settings).versions()
    assert caught.value.code == "registry"
    assert "restore a damaged file from a backup" in caught.value.fix
    for command in (("score",), ("train",), ("rollback", "churn")):
        done = program(world, *command)
        assert done.code == 2
        assert "registry the model registry at" in done.err
        assert "Traceback" not in done.err
    with pytest.raises(PropensityError):
        Registry(world.definition, world.settings).champions("churn")


@pytest.mark.parametrize("method", ["create_model_version", "set_registered_model_alias", "set_registered_model_tag"])
def test_a_full_disk_under_the_registry_is_reported_in_words(
    scored: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    world = copy_of(scored, tmp_path / "w")
    model = Loader(world.definition, world.settings).load("churn", "1")
    registry = Registry(world.definition, world.settings)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mlflow.MlflowClient, method, full)
    with pytest.raises(UnavailableError, match="No space left on device") as caught, registry.run("churn", 0):
        registry.promote("churn", registry.register(model))
    assert caught.value.code == "registry"
    assert "the disk is neither full nor read-only" in caught.value.fix
    assert Loader(world.definition, world.settings).versions()["churn"] == "1", "the champion stays"
