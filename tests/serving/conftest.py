"""Databases, worlds that tests may write into, and the shared world scored."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.events.compacted import NONE
from features.expressions.values import Texts
from features.reading.source import EventLog
from features.rows import FeatureRows
from features.traits import latest_traits
from segments.rfm_cuts import load_cuts
from serving.model.model import Model
from serving.model.registry.loader import Loader
from serving.scoring.feature_rows import batch_rows
from serving.scoring.scorer import Scorer
from serving.scoring.scores import Scored
from tests.conftest import World
from tests.databases import Postgres


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


@pytest.fixture
def postgres(postgres_server: Postgres) -> Iterator[str]:
    """The address of a real PostgreSQL, empty."""
    import sqlalchemy as sa

    if postgres_server.process is None:  # an earlier test has failed with the reason
        postgres_server.start()
    engine = sa.create_engine(postgres_server.url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    yield postgres_server.url
    postgres_server.check()


def copy_of(world: World, folder: Path) -> World:
    """A world of its own."""
    return World.copied(world.folder, folder)


def unscored_copy_of(world: World, folder: Path) -> World:
    """A world of its own, without what other tests of this process may have scored in the one it is a copy of."""
    mine = copy_of(world, folder)
    shutil.rmtree(mine.settings.scores(mine.definition.name), ignore_errors=True)
    for file in mine.settings.folder(mine.definition.name).glob("live.db*"):
        file.unlink()
    return mine


@pytest.fixture(scope="module")
def models(world: World) -> Mapping[str, Model]:
    return Loader(world.definition, world.settings).champions()


@pytest.fixture(scope="module")
def rows(world: World) -> FeatureRows:
    events = EventLog(world.definition).read()
    parts = list(batch_rows(events, world.definition, events.ends, latest_traits(world.definition, events.ends, NONE)))
    return replace(
        parts[0],
        users=pl.concat([p.users for p in parts]),
        cutoffs=np.concatenate([p.cutoffs for p in parts]),
        matrix=np.vstack([p.matrix for p in parts]),
        traits={
            name: Texts.of_series(pl.concat([p.traits[name].to_series() for p in parts])) for name in parts[0].traits
        },
    )


@pytest.fixture(scope="module")
def scorer(world: World, models: Mapping[str, Model]) -> Scorer:
    return Scorer(world.definition, models, load_cuts(world.definition, world.settings))


@pytest.fixture(scope="module")
def scored(scorer: Scorer, rows: FeatureRows) -> Scored:
    return scorer.score(rows, rows.cutoffs)
