"""Scores, populations and profiles of Spark are those of the local engine."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.definition.columns import feature_set
from features.event_store.store import EventStore
from features.events.compacted import NONE
from features.events.write import part_files
from features.feature_store import OfflineFeatures, OnlineProfiles
from features.feature_store.objects import snapshots_path, traits_path
from features.reading.source import EventLog
from features.settings import Settings
from features.snapshot import write_snapshots
from features.time import DAY
from features.traits import write_traits
from segments.rfm_cuts import load_cuts
from serving.model.registry.loader import Loader
from serving.scoring.batch import score_all
from serving.scoring.earlier.batch import field_of
from serving.scoring.feature_rows import online_rows
from serving.scoring.scorer import Scorer
from serving.upkeep.materialize import materialize
from tests.conftest import World
from tests.features.event_store.logs import definition_in, put, random_rows
from tests.features.spark.needed import ON_SPARK, need_spark
from tests.features.spark.rows import assert_same_rows

need_spark()

from features.spark.log import SparkLog  # noqa: E402 - only where Spark is

pytestmark = ON_SPARK


@pytest.fixture(scope="module")
def both(world: World, spark_settings: Settings) -> tuple[World, SparkLog, EventStore]:
    return (
        world,
        SparkLog.open(world.definition, spark_settings),
        EventStore.open(EventLog(world.definition), world.settings),
    )


def test_scores_are_those_of_the_local_engine(both: tuple[World, SparkLog, EventStore], tmp_path: Path) -> None:
    world, spark, store = both
    models = Loader(world.definition, world.settings).champions()
    scorer = Scorer(world.definition, models, load_cuts(world.definition, world.settings))
    cutoff = store.ends - 3 * DAY
    batches = [score_all(log, scorer, cutoff, tmp_path / name) for log, name in ((spark, "spark"), (store, "local"))]
    found, expected = (pl.read_parquet(part_files(batch.path)).sort("user_id") for batch in batches)
    assert len(found) > 2_000
    for name in ("states", "segments", "silent"):
        assert_frame_equal(getattr(batches[0], name), getattr(batches[1], name))
    assert batches[0].states["users"].sum() == len(found) * len(world.definition.outcomes)
    members = found["segments"].explode().drop_nulls().value_counts()
    assert dict(batches[0].segments.iter_rows()) == dict(members.iter_rows())
    answers = ("intent", "value", "as_of")
    assert found.drop(answers).equals(expected.drop(answers))
    for outcome, rule in world.definition.outcomes.items():
        left, right = (f.select(field_of(rule, outcome, "tier"), field_of(rule, outcome, rule.answer))
                       for f in (found, expected))  # fmt: skip
        assert left["tier"].equals(right["tier"])
        assert np.allclose(left[rule.answer].to_numpy(), right[rule.answer].to_numpy(), 1e-6, equal_nan=True)


def test_the_population_is_that_of_the_local_engine(both: tuple[World, SparkLog, EventStore], tmp_path: Path) -> None:
    world, spark, store = both
    scorer, cutoff = Scorer(world.definition, {}, load_cuts(world.definition, world.settings)), store.ends - 3 * DAY
    frames = []
    for log, name in ((spark, "spark"), (store, "local")):
        score_all(log, scorer, cutoff, tmp_path / name, population=tmp_path / f"{name}-population")
        [folder] = (tmp_path / f"{name}-population").iterdir()
        assert folder.name == "population-2026-02-26T000000Z"
        frames.append(pl.concat(map(pl.read_parquet, part_files(folder))).sort("user_id"))
    found, expected = frames
    assert len(found) > 2_000
    assert_frame_equal(found, expected, rel_tol=1e-6)


def test_feast_on_spark_retrieves_what_feast_on_duckdb_retrieves(
    both: tuple[World, SparkLog, EventStore], spark_settings: Settings
) -> None:
    world, spark, _ = both
    asked = pl.read_parquet(part_files(snapshots_path(world.settings.folder("demo-shop"))), columns=["user", "cutoff"])
    cutoffs = asked["cutoff"].unique().sort()[-2:].dt.epoch("us").to_numpy()
    folder = spark_settings.folder("demo-shop")
    write_snapshots(spark, cutoffs, world.definition, snapshots_path(folder))
    write_traits(world.definition, traits_path(folder), NONE)
    asked = asked.filter(pl.col("cutoff").dt.epoch("us").is_in(cutoffs)).sample(500, seed=1)
    found = OfflineFeatures(world.definition, spark_settings).rows("churn", asked)
    expected = OfflineFeatures(world.definition, world.settings).rows("churn", asked)
    assert_same_rows(found, expected, world.definition)
    traits = feature_set(world.definition).traits
    assert found.select(traits).equals(expected.select(traits))


def test_profiles_folded_on_spark_answer_as_local_ones(
    both: tuple[World, SparkLog, EventStore], spark_settings: Settings
) -> None:
    from features.feature_store import OnlineProfiles

    world, spark, store = both
    assert materialize(spark, world.definition, spark_settings) == 3_000
    users = [f"u{i:07d}" for i in range(0, 3_000, 50)]
    answers = [
        online_rows(OnlineProfiles(world.definition, settings), world.definition, users, store.ends)
        for settings in (spark_settings, world.settings)
    ]
    assert np.array_equal(answers[0].rows.matrix, answers[1].rows.matrix, equal_nan=True)
    of_spark, of_duckdb = ({name: t.to_list() for name, t in a.rows.traits.items()} for a in answers)
    assert of_spark == of_duckdb


def test_executors_put_profiles_into_redis(tmp_path: Path, spark_settings: Settings, redis_server: str) -> None:
    put(tmp_path, "a", random_rows(3_000, users=90))
    definition = definition_in(tmp_path, name="in-redis")
    redis = spark_settings.model_copy(
        update={"online_store": "redis", "redis": redis_server, "home": tmp_path / "redis"}
    )
    users, stored = [f"u{u:03d}" for u in range(95)], []
    for settings in (redis, spark_settings):
        assert materialize(SparkLog.open(definition, settings), definition, settings) == 90
        read = OnlineProfiles(definition, settings).read_covered(users)
        stored.append({user: (p.words, p.through) for user, p in read.profiles.items()})
    assert stored[0] == stored[1]
    assert materialize(SparkLog.open(definition, redis), definition, redis) == 0, "nothing has changed"
    put(tmp_path, "b", random_rows(10, users=3, seed=2))
    for settings in (redis, spark_settings):
        assert materialize(SparkLog.open(definition, settings), definition, settings) == 3
