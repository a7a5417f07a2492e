"""Lets MLflow find files that are named relative to its database."""

import features.system.telemetry  # noqa: F401

import mlflow
from mlflow.store.artifact import artifact_repository_registry as repositories
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

from serving.model.registry.places import SCHEME, folder_of, inside


def know_places() -> None:
    """Let MLflow find files beside the database, in this process; both names they have had."""
    for scheme in (SCHEME, "file"):
        repositories._artifact_repository_registry.register(scheme, repository_of)  # type: ignore[no-untyped-call]


def repository_of(
    artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
) -> ArtifactRepository:
    """The files of an address: those of a home beside its database, others where MLflow keeps them."""
    folder = folder_of(tracking_uri or mlflow.get_tracking_uri())
    below = inside(artifact_uri)
    if folder is not None and below is not None:
        return LocalArtifactRepository((folder / below).as_uri(), tracking_uri, registry_uri)
    kind = MlflowArtifactsRepository if artifact_uri.startswith(f"{SCHEME}:") else LocalArtifactRepository
    return kind(artifact_uri, tracking_uri, registry_uri)
