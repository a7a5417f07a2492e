"""Databases, and worlds that tests may write into."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.definition import load_definition
from features.settings import Settings
from tests.conftest import World
from tests.serving.servers import Postgres


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres(postgres_server: Postgres) -> str:
    """The address of a real PostgreSQL, empty."""
    import sqlalchemy as sa

    engine = sa.create_engine(postgres_server.url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    return postgres_server.url


def copy_of(world: World, folder: Path) -> World:
    """A world of its own; the models' files stay where they are."""
    shutil.copytree(world.folder, folder)
    return World(folder, load_definition(folder / "propensity.yaml"), Settings(home=folder / "var"))
