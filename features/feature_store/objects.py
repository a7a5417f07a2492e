"""Feast objects generated from the definition: nothing here is typed twice."""

import warnings
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import features.system.in_memory  # noqa: F401

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.data_source import DataSource
from feast.types import Bytes, Float64, String

from features.definition.columns import feature_set
from features.definition.schema import Definition
from features.profile.codec import FORMAT

ACTIVITY_VIEW, TRAITS_VIEW, PROFILE_VIEW = "user_activity", "user_traits", "user_profile"
SEGMENTS_SERVICE = "segments"

#: a snapshot row speaks of its own cutoff only; Feast must not carry it to a later one
SNAPSHOT_TTL = timedelta(seconds=1)

# Feast calls its Spark store experimental with every call
warnings.filterwarnings("ignore", message="The spark", category=RuntimeWarning)

FeastObject: TypeAlias = Entity | FeatureView | FeatureService


def snapshots_path(folder: Path) -> Path:
    """Where the snapshots of a definition lie."""
    return folder / "snapshots"


def traits_path(folder: Path) -> Path:
    """Where the trait table lies."""
    return folder / "traits.parquet"


def profiles_path(definition: Definition, folder: Path) -> Path:
    """Where the packed profiles of a definition's feature set lie."""
    return folder / "profiles" / f"{feature_set(definition).digest}-{FORMAT}"


def _source(engine: str, name: str, path: Path, timestamp: str, files: str = "") -> DataSource:
    """A source of Parquet files; Spark takes the folder they are in."""
    if engine == "spark":
        # Feast imports pyspark with this, which only they have who use it
        from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

        return SparkSource(name=name, path=f"file://{path}", file_format="parquet", timestamp_field=timestamp)
    return FileSource(name=name, path=str(path / files if files else path), timestamp_field=timestamp)


def feature_service_name(outcome: str, definition: Definition) -> str:
    """A model version's feature list: the outcome and the digest of the feature set."""
    return f"{outcome}_{feature_set(definition).digest}"


def feast_objects(definition: Definition, folder: Path, engine: str) -> list[FeastObject]:
    """Make the entity, the feature views and the feature services of a definition.

    Args:
        definition: the definition.
        folder: where its snapshots, traits and profiles lie.
        engine: where Feast retrieves, as `Settings.engine`.
    """
    features = feature_set(definition)
    user = Entity(name="user", join_keys=["user"], value_type=ValueType.STRING, description="who the events are of")
    tags = {"definition": definition.version, "feature_digest": features.digest}
    views = [_activity_view(definition, folder, engine, user, tags)]
    if features.traits:
        views.append(_traits_view(features.traits, folder, engine, user, tags))
    profile = _profile_view(definition, folder, engine, user, tags)
    services = [
        FeatureService(name=feature_service_name(name, definition), features=list(views), tags=tags)
        for name in definition.outcomes
    ]
    services.append(FeatureService(name=SEGMENTS_SERVICE, features=[profile], tags=tags))
    return [user, *views, profile, *services]


def _activity_view(
    definition: Definition, folder: Path, engine: str, user: Entity, tags: dict[str, str]
) -> FeatureView:
    return FeatureView(
        name=ACTIVITY_VIEW,
        entities=[user],
        ttl=SNAPSHOT_TTL,
        schema=[
            Field(name="user", dtype=String),
            *(Field(name=name, dtype=Float64) for name in feature_set(definition).numeric),
        ],
        source=_source(engine, "snapshots", snapshots_path(folder), "cutoff", "*/*.parquet"),
        online=False,
        tags=tags,
        description="feature rows at past cutoffs",
    )


def _profile_view(definition: Definition, folder: Path, engine: str, user: Entity, tags: dict[str, str]) -> FeatureView:
    path = profiles_path(definition, folder)
    return FeatureView(
        name=PROFILE_VIEW,
        entities=[user],
        ttl=timedelta(0),
        schema=[Field(name="user", dtype=String), Field(name="profile", dtype=Bytes)],
        source=PushSource(
            name="profiles", batch_source=_source(engine, "profile_file", path, "through", "bucket-*.parquet")
        ),
        online=True,
        tags=tags,
        description="the running summary of a user, packed; read at request time",
    )


def _traits_view(traits: Sequence[str], folder: Path, engine: str, user: Entity, tags: dict[str, str]) -> FeatureView:
    return FeatureView(
        name=TRAITS_VIEW,
        entities=[user],
        ttl=timedelta(0),
        schema=[Field(name="user", dtype=String), *(Field(name=name, dtype=String) for name in traits)],
        source=_source(engine, "traits", traits_path(folder), "known"),
        online=False,
        tags=tags,
        description="attributes as known at a time",
    )
