"""A version's number names one model for ever: a registry that was made again does not count from 1 again."""

from pathlib import Path

import polars as pl
import pytest

from features.settings import Settings
from features.time import DAY
from serving.model.registry.loader import Loader
from serving.scoring.earlier.batch import scores_path
from tests.conftest import World
from training.registry import Registry

ENDS = 20_000 * DAY


def scores_of(settings: Settings, day: int, model: str | None) -> None:
    """Scores that a model has made, as far as its name goes."""
    folder = scores_path(settings.scores("demo-shop"), ENDS - day * DAY)
    folder.mkdir(parents=True)
    answer = {"user_id": ["u1"], "intent": [{"churn": {"model": model}}]}
    kinds = {"intent": pl.Struct({"churn": pl.Struct({"model": pl.String})})}
    pl.DataFrame(answer, schema_overrides=kinds).write_parquet(folder / "part-0000.parquet")


@pytest.mark.parametrize(("models", "number"), [([], "1"), ([None], "1"), (["churn/3", "churn/7", "churn/4"], "8")])
def test_a_new_registry_goes_on_after_the_numbers_that_scores_name(
    world: World, tmp_path: Path, models: list[str | None], number: str
) -> None:
    model = Loader(world.definition, world.settings).load("churn", "1")
    settings = Settings(home=tmp_path / "home")
    for day, name in enumerate(models):
        scores_of(settings, day, name)
    registry = Registry(world.definition, settings)
    with registry.run("churn", ENDS):
        assert registry.register(model) == number
        assert registry.register(model) == str(int(number) + 1)
    assert Loader(world.definition, settings).load("churn", number).card.outcome == "churn"


def test_damaged_scores_do_not_stop_a_training(world: World, tmp_path: Path) -> None:
    model = Loader(world.definition, world.settings).load("churn", "1")
    settings = Settings(home=tmp_path / "home")
    scores_of(settings, 1, "churn/7")
    scores_of(settings, 2, "churn/9")
    [file, _] = sorted(settings.scores("demo-shop").glob("*/*.parquet"))
    file.write_bytes(file.read_bytes()[:-20])
    registry = Registry(world.definition, settings)
    with registry.run("churn", ENDS):
        assert registry.register(model) == "8"
