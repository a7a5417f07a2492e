"""The registry, asked through MLflow."""

import logging
import os
import warnings
from pathlib import Path

import features.system.telemetry  # noqa: F401

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from serving.model.registry.artifacts import know_places
from serving.model.registry.places import folder_of, inside
from serving.model.registry.promoted import CARD_DIGEST, CHAMPION, Promoted

# MLflow's news of its own tables, and a deprecation inside it, are not for our users
logging.getLogger("mlflow").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")


class Asked:
    """A registry; what goes wrong is MLflow's to raise.

    Args:
        uri: its address.
    """

    def __init__(self, uri: str) -> None:
        know_places()
        # MLflow would ask a server that is away for four minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        self._uri, self._client = uri, mlflow.MlflowClient(uri, uri)

    def champion(self, name: str) -> Promoted | None:
        """The champion of a registered model."""
        try:
            return self._described(self._client.get_model_version_by_alias(name, CHAMPION))
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            return None

    def version(self, name: str, number: str) -> Promoted:
        """A version of a registered model, as a champion is described."""
        return self._described(self._client.get_model_version(name, number))

    def names(self) -> set[str]:
        """Of all registered models."""
        return {model.name for model in self._client.search_registered_models(max_results=1_000)}

    def fetch(self, name: str, number: str, folder: Path) -> Path:
        """Fetch a version's files into a folder."""
        mlflow.set_tracking_uri(self._uri)
        mlflow.set_registry_uri(self._uri)
        return Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{number}", dst_path=str(folder))) / "artifacts"

    def _described(self, version: ModelVersion) -> Promoted:
        number = str(version.version)
        uri = self._client.get_model_version_download_uri(version.name, number)
        below = inside(uri) if folder_of(self._uri) is not None else None
        return Promoted(number, version.tags.get(CARD_DIGEST), below and f"{below}/artifacts")
