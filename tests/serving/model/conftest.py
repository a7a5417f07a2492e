"""A registry that tests may damage."""

from collections.abc import Iterator

import pytest

from tests.conftest import World
from tests.serving.conftest import copy_of
from tests.serving.model.damage import model_files


@pytest.fixture(scope="module")
def copied(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    return copy_of(world, tmp_path_factory.mktemp("registry") / "w")


@pytest.fixture
def home(copied: World) -> Iterator[World]:
    """A registry whose files are as they were when the test ends; the database is only read, or put back."""
    kept = {path: path.read_bytes() for path in model_files(copied)}
    database = (copied.settings.home / "mlflow.db").read_bytes()
    yield copied
    for path, content in kept.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (copied.settings.home / "mlflow.db").write_bytes(database)
